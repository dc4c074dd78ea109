"""Small documents made by hand: real formats, no library needed."""

import io
import zipfile
from collections.abc import Mapping, Sequence

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
SLIDES = "http://schemas.openxmlformats.org/presentationml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


def docx(*paragraphs: str, heading: str = "", head: str = "", before: str = "") -> bytes:
    """``head`` stands before the document's root element; ``before`` is raw XML before the paragraphs."""
    parts = [before]
    if heading:
        style = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
        parts.append(f"<w:p>{style}<w:r><w:t>{heading}</w:t></w:r></w:p>")
    parts += [f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs]
    body = "".join(parts)
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    whole = f'{HEAD}{head}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    path = "word/document.xml"
    return _package({path: whole}, {path: kind}, path)


def pptx(*slides: str) -> bytes:
    base = "application/vnd.openxmlformats-officedocument.presentationml"
    files, kinds = {}, {"ppt/presentation.xml": f"{base}.presentation.main+xml"}
    links, ids = [], []
    for number, text in enumerate(slides, 1):
        shape = f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody>"
        name = f'<p:nvSpPr><p:cNvPr id="2" name="t{number}"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
        group = '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
        tree = f"<p:spTree>{group}<p:sp>{name}{shape}</p:sp></p:spTree>"
        spaces = f'xmlns:p="{SLIDES}" xmlns:a="{DRAWING}"'
        path = f"ppt/slides/slide{number}.xml"
        files[path] = f"{HEAD}<p:sld {spaces}><p:cSld>{tree}</p:cSld></p:sld>"
        kinds[path] = f"{base}.slide+xml"
        links.append(_link(f"rId{number}", "slide", f"slides/slide{number}.xml"))
        ids.append(f'<p:sldId id="{255 + number}" r:id="rId{number}"/>')
    listed = f"<p:sldIdLst>{''.join(ids)}</p:sldIdLst>"
    spaces = f'xmlns:p="{SLIDES}" xmlns:r="{LINKS}"'
    files["ppt/presentation.xml"] = f"{HEAD}<p:presentation {spaces}>{listed}</p:presentation>"
    files["ppt/_rels/presentation.xml.rels"] = _links(links)
    return _package(files, kinds, "ppt/presentation.xml")


def zip_bomb(megabytes: int) -> bytes:
    """A Word document of some kilobytes that unpacks to ``megabytes``."""
    text = f"<w:p><w:r><w:t>{'A' * 1023} </w:t></w:r></w:p>"
    return docx(before=text * (megabytes << 10))


def pdf(pages: Sequence[str], *, encrypted: bool = False) -> bytes:
    """One line of text on each page, or several."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for text in pages:
        shown = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        lines = " T* ".join(f"({line}) Tj" for line in shown.split("\n"))
        drawn = f"BT /F1 12 Tf 14 TL 72 720 Td {lines} ET"
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
        resources = "/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 612 792]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {resources} /Contents {len(objects)} 0 R >>")
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    trailer = "/Root 1 0 R"
    if encrypted:
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{'28' * 32}> /U <{'bf' * 32}> /P -4 >>")
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<00> <00>]"
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, text in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1"))
    table = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.writelines(f"{place:010} 00000 n \n".encode() for place in places)
    out.write(f"trailer << /Size {len(objects) + 1} {trailer} >>\nstartxref\n{table}\n%%EOF".encode())
    return out.getvalue()


def _package(files: Mapping[str, str], kinds: Mapping[str, str], main: str) -> bytes:
    overrides = "".join(
        f'<Override PartName="/{path}" ContentType="{kind}"/>' for path, kind in kinds.items()
    )
    rels = (
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    )
    types = f'{HEAD}<Types xmlns="{PACKAGE}/content-types">{rels}{overrides}</Types>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("[Content_Types].xml", types)
        package.writestr("_rels/.rels", _links([_link("rId1", "officeDocument", main)]))
        for path, text in files.items():
            package.writestr(path, text)
    return out.getvalue()


def _link(name: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{name}" Type="{LINKS}/{kind}" Target="{target}"/>'


def _links(links: Sequence[str]) -> str:
    return f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships">{"".join(links)}</Relationships>'
