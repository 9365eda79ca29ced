// Headers whose values are no printable ASCII, as NAME=HEX,…: the server behind reads such values as empty ones.
const PLAIN = /^[\x20-\x7e\t]*$/;

function unreadable(r) {
  const found = [];
  for (let i = 0; i < r.rawHeadersIn.length; i++) {
    const header = r.rawHeadersIn[i];
    if (!PLAIN.test(header[1])) {
      found.push(header[0] + "=" + Buffer.from(header[1]).toString("hex"));
    }
  }
  return found.join(",");
}

export default { unreadable };
