"""The description of the service that programs read, and a page of it for people.

The page loads nothing: neither scripts nor anything of another address.
"""

from __future__ import annotations

import html
import json
from typing import Any

import qcs_jax
from qcs_jax.predict import quality


def _json(description: str, schema: dict[str, Any], example: Any = None) -> dict:
    content = {"schema": schema} | ({} if example is None else {"example": example})
    return {"description": description, "content": {"application/json": content}}


def _text(description: str, kind: str) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": _STRING}}}


_STRING = {"type": "string"}
_NUMBER = {"type": "number"}
_POINT = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_BINARY = {"type": "string", "format": "binary"}
_OBJECT = {"type": "object"}

_PROBABILITIES = {"type": "object", "additionalProperties": _NUMBER}
_NAMED = {
    "file": {"type": ["string", "null"], "description": "as the form calls it"},
    "error": {"type": ["string", "null"]},
}
_FACE = {
    "type": "object",
    "properties": {
        "box": {
            "type": "array",
            "items": _NUMBER,
            "description": "left, top, right and bottom in pixels",
        },
        "landmarks": {"type": ["object", "null"], "additionalProperties": _POINT},
        "score": {"type": ["number", "null"]},
        "quality": {
            "type": "array",
            "items": {"type": "string", "enum": list(quality.NOTES)},
            "description": "what the image lacks to be sure",
        },
        "label": _STRING,
        "probabilities": _PROBABILITIES,
    },
}
_PHOTOGRAPH = {
    "type": "object",
    "properties": {
        **_NAMED,
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "whole": {"type": "boolean"},
        "faces": {"type": "array", "items": _FACE},
    },
}
_CROP = {
    "type": "object",
    "properties": {**_NAMED, "label": _STRING, "probabilities": _PROBABILITIES},
}

_ERRORS = {
    "400": "a form without files, or a damaged one; an empty body",
    "401": "no token, or a wrong one",
    "408": "the body did not come in time",
    "413": "the body is too long",
    "415": "the body is compressed",
    "422": "no image that can be used",
    "503": "too many ask at the same time: try again after Retry-After seconds",
    "504": "the work did not end in time",
}


def _asking(summary: str, item: dict[str, Any], example: Any) -> dict[str, Any]:
    files = {"type": "array", "items": _BINARY, "maxItems": 32}
    form = {"type": "object", "properties": {"image": files}}
    error = {"type": "object", "properties": {"error": _STRING}}
    answers = _json(
        "An answer for each image, in their order: what `qcs-jax predict --json` "
        "prints. Of an image that cannot be used there are `file` and `error`.",
        {"type": "array", "items": item},
        [example],
    )
    operation = {
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "image/*": {"schema": _BINARY},
            },
        },
        "responses": {"200": answers}
        | {status: _json(text, error) for status, text in _ERRORS.items()},
        "security": [{"token": []}],
    }
    return {"post": operation}


def _getting(summary: str, answer: dict[str, Any], *, guarded: bool = False) -> dict:
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": answer}}
    if guarded:
        operation["security"] = [{"token": []}]
    return {"get": operation}


_EXAMPLE_FACE = {
    "box": [161.4, 126.8, 369.0, 334.4],
    "landmarks": {"left eye": [223.9, 193.1], "right eye": [307.5, 191.7]},
    "score": 0.9,
    "quality": [],
    "label": "happiness",
    "probabilities": {"happiness": 0.97, "neutral": 0.03},
}
_EXAMPLE_PHOTOGRAPH = {
    "file": "party.jpg",
    "width": 512,
    "height": 600,
    "whole": False,
    "faces": [_EXAMPLE_FACE],
    "error": None,
}
_EXAMPLE_CROP = {
    "file": "face.jpg",
    "label": "happiness",
    "probabilities": {"happiness": 0.97, "neutral": 0.03},
    "error": None,
}

PATHS: dict[str, dict[str, Any]] = {
    "/v1/predict": _asking(
        "Finds the faces of photographs, and classifies them.",
        _PHOTOGRAPH,
        _EXAMPLE_PHOTOGRAPH,
    ),
    "/v1/classify": _asking(
        "Classifies images that are faces, cut out already.", _CROP, _EXAMPLE_CROP
    ),
    "/v1/model": _getting(
        "What network it is.",
        _json("Names, classes, preprocessing, what was measured.", _OBJECT),
        guarded=True,
    ),
    "/healthz": _getting("Whether the process lives.", _json("It does.", _OBJECT)),
    "/readyz": _getting("Whether it takes requests.", _json("It does.", _OBJECT)),
    "/metrics": _getting(
        "Counts and times for Prometheus.",
        _text("Its text format.", "text/plain"),
        guarded=True,
    ),
    "/openapi.json": _getting("This description.", _json("OpenAPI 3.1.", _OBJECT)),
    "/docs": _getting("This description for people.", _text("A page.", "text/html")),
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "qcs-jax serve",
        "version": qcs_jax.__version__,
        "description": "Facial expressions in photographs. Nothing that is sent is "
        "kept.",
    },
    "paths": PATHS,
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
}

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;"
    "padding:0 1rem}pre{overflow:auto;padding:1rem;border:1px solid #8888}"
    ":root{color-scheme:light dark}"
)


def as_html(document: dict[str, Any]) -> str:
    """A page about a document like `DOCUMENT`."""
    info, parts = document["info"], []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>")
            parts.append(f"<p>{html.escape(operation['summary'])}</p>")
            if "requestBody" in operation:
                kinds = " or ".join(operation["requestBody"]["content"])
                parts.append(f"<p>Takes {html.escape(kinds)}.</p>")
            parts.append("<ul>")
            for status, response in operation["responses"].items():
                text = html.escape(response["description"])
                parts.append(f"<li><code>{status}</code> {text}</li>")
                for content in response["content"].values():
                    if "example" in content:
                        example = json.dumps(content["example"], indent=2)
                        parts.append(f"<pre>{html.escape(example)}</pre>")
            parts.append("</ul>")
    title = html.escape(f"{info['title']} {info['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><p>{html.escape(info['description'])} "
        f'For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{''.join(parts)}</html>"
    )
