"""Content, block by block: what the formats share and where they differ.

A store keeps blocks as they came. Pictures are the exception: `{"type": "image", "source":
{"type": "base64", "media_type": …, "data": …}}` is the one shape they have here, wherever
both formats can say the same.
"""

import json
import re
from typing import Any, Final

SUMMARY_INTRO: Final = "Summary of the conversation so far:\n\n"
"""What stands before a compaction's summary, which the model would take for the user's words."""

_DATA_URL: Final = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)
_THOUGHTS: Final = ("thinking", "redacted_thinking")
_OPENAI_PARTS: Final = ("text", "image_url", "input_audio", "file", "refusal")


def are_blocks(value: Any) -> bool:
    """Return whether `value` is a list of blocks, as content may be."""
    return isinstance(value, list) and all(isinstance(block, dict) for block in value)


def content_of(value: Any) -> Any:
    """Return `value` if a message can have it as content, else None."""
    return value if isinstance(value, str) or are_blocks(value) else None


def text_block(text: str) -> dict[str, Any]:
    """Return `text` as a block."""
    return {"type": "text", "text": text}


def text_of(value: Any) -> str:
    """Return what can be read of content or of a tool's result: JSON where it is no text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if value and are_blocks(value) and all(isinstance(block.get("type"), str) for block in value):
        return "\n".join(_said(block) for block in value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def summary_of(content: Any) -> Any:
    """Return the content of a compaction message as something said to the model."""
    if isinstance(content, list):
        return [text_block(SUMMARY_INTRO), *content]
    return SUMMARY_INTRO + text_of(content)


def block_from_openai(part: dict[str, Any]) -> dict[str, Any]:
    """Return the block for a part of a chat message: itself, unless it is a plain picture."""
    image = _image(part)
    return image if image is not None and block_to_openai(image) == part else part


def block_to_openai(block: dict[str, Any]) -> dict[str, Any] | None:
    """Return the part of a chat message that shows `block`, None for a model's own thoughts."""
    kind = block.get("type")
    if kind in _THOUGHTS:
        return None
    if kind == "text":
        return text_block(_said(block))
    if kind in _OPENAI_PARTS:
        return block
    source = block.get("source")
    if kind == "image" and isinstance(source, dict):
        if source.get("type") == "base64":
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
            return {"type": "image_url", "image_url": {"url": url}}
        if source.get("type") == "url":
            return {"type": "image_url", "image_url": {"url": source.get("url")}}
    return text_block(_said(block))


def block_to_anthropic(block: dict[str, Any]) -> dict[str, Any]:
    """Return `block` as one that Anthropic takes: itself, unless it is OpenAI's."""
    kind = block.get("type")
    if kind == "image_url":
        return _image(block) or text_block(_said(block))
    if kind in ("refusal", "input_audio", "file"):
        return _document(block) or text_block(_said(block))
    return block


def _said(block: dict[str, Any]) -> str:
    # What cannot be shown is named, so that the model knows that something is missing.
    for name in ("text", "refusal"):
        if block.get("type") == name and isinstance(block.get(name), str):
            text: str = block[name]
            return text
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "text":
        return str(source.get("data"))
    return f"[{block.get('type')}]"


def _image(part: dict[str, Any]) -> dict[str, Any] | None:
    picture = part.get("image_url")
    if part.get("type") != "image_url" or not isinstance(picture, dict):
        return None
    url = picture.get("url")
    if not isinstance(url, str):
        return None
    return {"type": "image", "source": _source(url)}


def _document(part: dict[str, Any]) -> dict[str, Any] | None:
    file = part.get("file")
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str) or not _DATA_URL.fullmatch(data):
        return None
    return {"type": "document", "source": _source(data)}


def _source(url: str) -> dict[str, Any]:
    found = _DATA_URL.fullmatch(url)
    if found is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": found[1], "data": found[2]}
