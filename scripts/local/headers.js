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

// Headers of an answer whose bytes nginx sends from a file: what the server behind said of it.
function told(r) {
  const answer = JSON.parse(r.variables.upstream_http_x_kumo_answer);
  for (const name in answer) {
    if (name !== "Accept-Ranges" || r.headersIn.Range) { // of a whole file nginx says that itself
      r.headersOut[name] = answer[name];
    }
  }
}

export default { told, unreadable };
