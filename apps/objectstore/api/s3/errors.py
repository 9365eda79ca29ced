"""S3's errors: their codes with status and words, and which of them an error of a service is.

Source: the list of error responses in Amazon's S3 API reference.
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.core import errors
from apps.core.api.faults import translate
from apps.objectstore.services.errors import InsufficientStorage, Unprocessable

# Code → status and what is said where nothing more exact is known.
CODES: Mapping[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access Denied"),
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs."),
    "AccessForbidden": (403, "CORSResponse: This CORS request is not allowed."),
    "AuthorizationHeaderMalformed": (400, "The authorization header that you provided is not valid."),
    "AuthorizationQueryParametersError": (400, "The authorization query parameters that you provided are not valid."),
    "BadDigest": (400, "The Content-MD5 or checksum value that you specified did not match what the server received."),
    "BadRequest": (400, "Bad Request"),
    "BucketAlreadyExists": (409, "The requested bucket name is not available. Select a different name and try again."),
    "BucketAlreadyOwnedByYou": (409, "Your previous request to create the named bucket succeeded and you own it."),
    "BucketNotEmpty": (409, "The bucket that you tried to delete is not empty."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed object size."),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header."),
    "InsufficientStorage": (507, "There is no room for the object."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The access key ID that you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketAclWithObjectOwnership": (400, "A bucket with BucketOwnerEnforced cannot have ACLs."),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidBucketState": (409, "The request is not valid for the current state of the bucket."),
    "InvalidDigest": (400, "The Content-MD5 or checksum value that you specified is not valid."),
    "InvalidEncryptionAlgorithmError": (400, "The encryption request that you specified is not valid."),
    "InvalidLocationConstraint": (400, "The specified location constraint is not valid."),
    "InvalidPart": (400, "One or more of the specified parts could not be found or did not match."),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidPolicyDocument": (400, "The content of the form does not meet the conditions specified in the policy."),
    "InvalidRange": (416, "The requested range is not satisfiable."),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidRetentionPeriod": (400, "The retention period is not valid."),
    "InvalidStorageClass": (400, "The storage class that you specified is not valid."),
    "InvalidTag": (400, "The tag provided was not a valid tag."),
    "InvalidToken": (400, "The provided token is malformed or otherwise not valid."),
    "InvalidURI": (400, "Could not parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long."),
    "MalformedACLError": (400, "The ACL that you provided was not well formed or did not validate."),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedPolicy": (400, "The policy is not well formed or did not validate."),
    "MalformedXML": (400, "The XML that you provided was not well formed or did not validate against our schema."),
    "MalformedTrailerError": (400, "The trailers of the request are not well formed."),
    "MaxMessageLengthExceeded": (400, "Your request was too large."),
    "MaxPostPreDataLengthExceededError": (400, "Your POST request fields preceding the upload file were too large."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "MissingRequestBodyError": (400, "Request body is empty."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchBucketPolicy": (404, "The specified bucket does not have a bucket policy."),
    "NoSuchCORSConfiguration": (404, "The specified bucket does not have a CORS configuration."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The specified lifecycle configuration does not exist."),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have an ObjectLock configuration."),
    "NoSuchPublicAccessBlockConfiguration": (404, "The public access block configuration was not found."),
    "NoSuchTagSet": (404, "The specified tag does not exist."),
    "NoSuchUpload": (404, "The specified multipart upload does not exist."),
    "NoSuchVersion": (404, "The version ID specified in the request does not match an existing version."),
    "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration."),
    "NotImplemented": (501, "A header or query that you provided implies functionality that is not implemented."),
    "ObjectLockConfigurationNotFoundError": (404, "The Object Lock configuration does not exist for this bucket."),
    "OperationAborted": (409, "A conflicting conditional operation is in progress against this resource. Try again."),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found."),
    "PreconditionFailed": (412, "At least one of the preconditions that you specified did not hold."),
    "QuotaExceeded": (403, "A quota of the bucket or of its account would be passed."),
    "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the current time is too large."),
    "ServerSideEncryptionConfigurationNotFoundError": (404, "The server side encryption configuration was not found."),
    "ServiceUnavailable": (503, "The service is unable to handle the request. Please reduce your request rate."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature that the server calculated does not match the signature that you provided. "
        "Check your secret access key and signing method.",
    ),
    "UnexpectedContent": (400, "This request does not support content."),
    "UnresolvableGrantByEmailAddress": (400, "The email address does not match any account on record."),
    "UnsupportedMediaType": (415, "The media type of the request is not supported."),
    "XAmzContentSHA256Mismatch": (400, "The provided x-amz-content-sha256 header does not match what was computed."),
}  # fmt: skip


class S3Error(errors.KumoError):
    """An error by its code in S3. `fields` become elements of the answer: `Key="a"` → `<Key>a</Key>`."""

    def __init__(self, code: str, message: str = "", /, **fields: str | int) -> None:
        super().__init__(message or CODES[code][1], code=code)
        self.fields: Mapping[str, str | int] = fields
        self.headers: Mapping[str, str] = {}  # of the answer


# What an error of a service is in S3, unless it carries one of the codes above. The first that fits counts.
_BY_TYPE: tuple[tuple[type[errors.KumoError], str], ...] = (
    (Unprocessable, "BadDigest"),
    (InsufficientStorage, "InsufficientStorage"),
    (errors.Unauthorized, "AccessDenied"),
    (errors.Forbidden, "AccessDenied"),
    (errors.OverQuota, "QuotaExceeded"),
    (errors.PreconditionFailed, "PreconditionFailed"),
    (errors.TooLarge, "QuotaExceeded"),
    (errors.Conflict, "OperationAborted"),
    (errors.UnsupportedMedia, "UnsupportedMediaType"),
    (errors.Unavailable, "ServiceUnavailable"),
    (errors.Invalid, "InvalidArgument"),
)
_BY_NOUN = {"container": "NoSuchBucket", "object": "NoSuchKey", "upload": "NoSuchUpload", "version": "NoSuchVersion"}


def as_s3(error: Exception) -> S3Error | None:
    """The error in S3's words; None for what nobody foresaw."""
    known = translate(error)
    if known is None or isinstance(known, S3Error):
        return known
    if known.code in CODES:
        return S3Error(known.code, str(known))
    if isinstance(known, errors.NotFound):
        return S3Error(_BY_NOUN.get(known.noun, "NoSuchKey"))
    code = next((code for kind, code in _BY_TYPE if isinstance(known, kind)), "InternalError")
    # Who may not learns nothing more than that.
    return S3Error(code, "" if code == "AccessDenied" else str(known))
