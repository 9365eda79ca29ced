from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "tests.kit.demo"
    label = "demo"
