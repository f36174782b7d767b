# Reads a page from stdin as browsers do (html5lib follows the standard), and prints what is in it as JSON: what the parser complains
# about, how many comments there are, and every element with its attributes, its text and the place of its parent in the list.
import json
import sys

import html5lib

parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), namespaceHTMLElements=False)
root = parser.parse(sys.stdin.buffer.read(), transport_encoding="utf-8")
elements = []
comments = 0


def visit(element, parent):
    global comments
    if not isinstance(element.tag, str):
        comments += 1
        return
    place = len(elements)
    elements.append({
        # Elements of SVG have their namespace in front.
        "tag": element.tag.split("}")[-1],
        "attributes": {name.split("}")[-1]: value for name, value in element.attrib.items()},
        "text": "".join(element.itertext()),
        "parent": parent,
    })
    for child in element:
        visit(child, place)


visit(root, None)
errors = [f"{position}: {code}" for position, code, _ in parser.errors]
json.dump({"errors": errors, "comments": comments, "elements": elements}, sys.stdout)
