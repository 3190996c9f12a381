"""Encodes responses as XML by the rules of DataContractSerializer.

Base members come first, in their own namespace, then all others by name; null is `i:nil`. The
ErrorCode and Message of ClientUpdate are its own members, in the namespace of models.
"""

from lcm_pipeline.simulator.endpoints import ABSTRACTIONS, INSTANCE, Endpoint
from lcm_pipeline.simulator.fields import Fields, Row, Value

CONTENT_TYPE = "application/xml; charset=utf-8"
_ERROR_FIELDS = ("ErrorCode", "Message")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def write_xml(endpoint: Endpoint, fields: Fields) -> bytes:
    """Encode one response."""
    space = f' xmlns="{endpoint.response_namespace}"'
    parts = [f'<{endpoint.response} xmlns:i="{INSTANCE}"{space}>']
    names = sorted(fields)
    if not endpoint.own_model:
        base = f' xmlns="{ABSTRACTIONS}"'
        parts += [_element(name, fields[name], base) for name in _ERROR_FIELDS]
        names = [name for name in names if name not in _ERROR_FIELDS]
    for name in names:
        content = fields[name]
        if isinstance(content, list):
            parts.append(_collection(name, endpoint.items[name], content))
        else:
            parts.append(_element(name, content))
    parts.append(f"</{endpoint.response}>")
    return "".join(parts).encode()


def _collection(name: str, item: str, rows: list[Row]) -> str:
    if not rows:
        return f"<{name}/>"
    written = "".join(
        f"<{item}>{''.join(_element(key, row[key]) for key in sorted(row))}</{item}>"
        for row in rows
    )
    return f"<{name}>{written}</{name}>"


def _element(name: str, value: Value | list[Row], space: str = "") -> str:
    if value is None:
        return f'<{name} i:nil="true"{space}/>'
    # str(True) would be "True"; XML has true and false.
    if isinstance(value, bool):
        return f"<{name}{space}>{'true' if value else 'false'}</{name}>"
    return f"<{name}{space}>{str(value).translate(_ESCAPES)}</{name}>"
