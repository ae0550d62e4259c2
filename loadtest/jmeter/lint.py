#!/usr/bin/env python3
"""Checks the JMeter plans: is each valid XML, and does each of its requests fit api/openapi.yaml?

    python3 loadtest/jmeter/lint.py

Needs python3-yaml and python3-jsonschema. A plan's variables stand for numbers where the request's schema wants
one, and for ids otherwise.
"""

import json
import pathlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree

import jsonschema
import yaml

HERE = pathlib.Path(__file__).resolve().parent
API = HERE.parent.parent / "api/openapi.yaml"
VARIABLE = re.compile(r"\$\{[^{}]*\}")


def text_of(element, name):
    found = element.find(f"*[@name='{name}']")
    return found.text or "" if found is not None else ""


def requests(plan):
    """Name, method, path and body ("" if there is none) of each request."""
    defaults = plan.find(".//ConfigTestElement[@guiclass='HttpDefaultsGui']")
    for sampler in plan.iter("HTTPSamplerProxy"):
        body = sampler.find(".//*[@name='Argument.value']")
        path = text_of(sampler, "HTTPSampler.path") or text_of(defaults, "HTTPSampler.path")
        yield (sampler.get("testname"), text_of(sampler, "HTTPSampler.method").lower(), path,
               body.text if body is not None else "")


def operation_of(api, method, path):
    """The described operation with such a path, a fixed one before one with parameters; None: there is none."""
    for pattern in sorted(api["paths"], key=lambda name: name.count("{")):
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", pattern), path) and method in api["paths"][pattern]:
            return api["paths"][pattern][method]
    return None


def unknown_parameters(api, operation, query):
    known = [parameter for parameter in operation.get("parameters", []) if isinstance(parameter, dict)]
    names = {api["components"]["parameters"][p["$ref"].rsplit("/", 1)[1]]["name"] if "$ref" in p else p["name"]
             for p in known}
    return sorted(set(urllib.parse.parse_qs(query)) - names)


def faults(api, method, target, body):
    path, _, query = VARIABLE.sub("x", target).partition("?")
    operation = operation_of(api, method, path)
    if operation is None:
        yield f"{method.upper()} {path} is not described"
        return
    for name in unknown_parameters(api, operation, query):
        yield f"the parameter {name} is not described"
    if (body != "") != ("requestBody" in operation):
        yield "has a body exactly if it is not described"
    elif body:
        # An unquoted variable is a number.
        value = json.loads(VARIABLE.sub("x", re.sub(r"([:,\[]\s*)\$\{[^{}]*\}", r"\g<1>7", body)))
        schema = {**operation["requestBody"]["content"]["application/json"]["schema"], "components": api["components"]}
        for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
            yield f"body: {error.message}"


def main():
    api = yaml.safe_load(API.read_text(encoding="utf-8"))
    wrong = checked = 0
    for path in sorted(HERE.glob("*.jmx")):
        for name, method, target, body in requests(xml.etree.ElementTree.parse(path).getroot()):
            checked += 1
            for fault in faults(api, method, target, body):
                print(f"{path.name}: {name}: {fault}")
                wrong += 1
    if checked == 0:
        print("no request was found")
    return 1 if wrong or checked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
