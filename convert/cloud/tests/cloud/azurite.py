"""Makes a page blob of 16 MiB in azurite, with a file's content (at most 4 MiB at a time) from 4 MiB on.

usage: azurite.py ENDPOINT KEY FILE
"""
import base64, email.utils, hashlib, hmac, sys, urllib.error, urllib.request

endpoint, key, path = sys.argv[1:4]
account = endpoint.rstrip("/").rsplit("/", 1)[1]


def put(place, query, headers, body=b""):
    headers = dict(headers, **{"x-ms-version": "2020-10-02", "x-ms-date": email.utils.formatdate(usegmt=True)})
    text = "PUT\n\n\n%s\n\n\n\n\n\n\n\n\n" % (len(body) or "")
    text += "".join("%s:%s\n" % item for item in sorted(headers.items()))
    text += "/%s/%s/%s" % (account, account, place)
    text += "".join("\n%s:%s" % item for item in sorted(query.items()))
    mac = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256)
    headers["authorization"] = "SharedKey %s:%s" % (account, base64.b64encode(mac.digest()).decode())
    headers["content-type"] = ""
    url = "%s/%s%s" % (endpoint, place, "?" + "&".join("%s=%s" % item for item in query.items()) if query else "")
    request = urllib.request.Request(url, data=body, headers=headers, method="PUT")
    try:
        urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as error:
        if error.code != 409:
            sys.exit("%s: %s" % (url, error.read()))


blob = "disks/a%20b/disk.vhd"
put("disks", {"restype": "container"}, {})
put(blob, {}, {"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": str(16 << 20)})
content, step = open(path, "rb").read(), 2 << 20
for at in range(0, len(content), step):
    part = content[at : at + step]
    first = (4 << 20) + at
    put(blob, {"comp": "page"}, {"x-ms-page-write": "update", "x-ms-range": "bytes=%d-%d" % (first, first + len(part) - 1)}, part)
print("made")
