#!/usr/bin/env python3
"""Checks api/openapi.yaml: is it valid OpenAPI 3.1, does it match the program, do its examples fit?

    python3 api/lint.py

Needs python3-yaml and python3-jsonschema. The specification's own meta-schema is not packaged, so this
file holds the rules that the document uses. The document is compared with the sources: the table of
routes in service/http/api/router.c and the problems in service/http/wire/problem_table.c.
"""

import pathlib
import re
import sys

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
ALLOWED = {
    "document": {"openapi", "info", "servers", "tags", "security", "paths", "components"},
    "path": METHODS | {"parameters", "summary", "description"},
    "operation": {"operationId", "tags", "summary", "description", "security", "parameters",
                  "requestBody", "responses", "deprecated"},
    "parameter": {"name", "in", "required", "description", "schema", "example", "examples"},
    "header": {"description", "schema", "required", "example", "examples"},
    "response": {"description", "headers", "content"},
    "body": {"required", "content", "description"},
    "media": {"schema", "example", "examples"},
    "components": {"securitySchemes", "parameters", "headers", "schemas", "responses"},
}


class UniqueLoader(yaml.SafeLoader):
    """YAML without duplicate keys, which plain YAML quietly lets win."""


def construct_mapping(loader, node, deep=False):
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = {str(key) for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {', '.join(twice)} twice")
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


UniqueLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, construct_mapping)


class Linter:
    def __init__(self, document):
        self.document = document
        self.errors = []
        self.used = set()
        self.operation_ids = set()
        self.problems = {}

    def error(self, where, what):
        self.errors.append(f"{where}: {what}")

    # ---- references

    def resolve(self, node, where):
        """What a node stands for, following its $ref."""
        seen = set()
        while isinstance(node, dict) and "$ref" in node:
            reference = node["$ref"]
            self.used.add(reference)
            if reference in seen or set(node) - {"$ref", "description"}:
                self.error(where, f"bad reference {reference}")
                return {}
            seen.add(reference)
            node = self.document
            for part in reference.removeprefix("#/").split("/"):
                node = node.get(part) if isinstance(node, dict) else None
            if node is None or not reference.startswith("#/"):
                self.error(where, f"{reference} does not resolve")
                return {}
        return node

    def keys(self, kind, node, where, required=()):
        if not isinstance(node, dict):
            self.error(where, f"is not a {kind}")
            return {}
        for key in set(node) - ALLOWED[kind]:
            if not str(key).startswith("x-"):
                self.error(where, f"a {kind} has no {key}")
        for key in required:
            if key not in node:
                self.error(where, f"{key} is missing")
        return node

    # ---- schemas and examples

    def schema(self, schema, where):
        """Walks a schema: references resolve, objects say whether they are closed."""
        if not isinstance(schema, dict):
            self.error(where, "is not a schema")
            return
        if "$ref" in schema:
            self.resolve(schema, where)
            return
        for name, child in schema.get("properties", {}).items():
            self.schema(child, f"{where}.{name}")
        for name in schema.get("required", []):
            if name not in schema.get("properties", {}):
                self.error(where, f"requires {name}, which is no property")
        for key in ("anyOf", "oneOf", "allOf"):
            for i, child in enumerate(schema.get(key, [])):
                self.schema(child, f"{where}.{key}[{i}]")
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                self.schema(schema[key], f"{where}.{key}")

    def fits(self, value, schema, where):
        whole = {"$ref": "#/schema", "schema": schema, "components": self.document["components"]}
        try:
            for error in jsonschema.Draft202012Validator(whole).iter_errors(value):
                self.error(where, f"{list(error.absolute_path)}: {error.message}")
        except jsonschema.exceptions.RefResolutionError as error:
            self.error(where, str(error))

    def examples(self, node, where):
        schema = node.get("schema", {})
        self.schema(schema, where)
        values = [("example", node["example"])] if "example" in node else []
        for name, example in node.get("examples", {}).items():
            if set(example) - {"summary", "description"} != {"value"}:
                self.error(where, f"example {name} has no value")
                continue
            values.append((name, example["value"]))
        for name, value in values:
            self.fits(value, schema, f"{where} example {name}")
        return values

    def content(self, content, where, response_status=None):
        for media, node in content.items():
            self.keys("media", node, f"{where} {media}", ["schema"])
            for name, value in self.examples(node, f"{where} {media}"):
                if media == "application/problem+json":
                    self.problem(name, value, f"{where} example {name}", response_status)

    def problem(self, name, value, where, response_status):
        if value.get("type") != f"/problems/{name}":
            self.error(where, "is not named after its type")
        if response_status not in (None, "default", str(value.get("status"))):
            self.error(where, f"has status {value.get('status')} under {response_status}")
        self.problems[name] = (value.get("status"), value.get("title"))

    # ---- paths

    def parameters(self, nodes, where):
        found = {}
        for node in nodes:
            parameter = self.resolve(node, where)
            self.keys("parameter", parameter, where, ["name", "in", "schema"])
            name = (parameter.get("in"), parameter.get("name"))
            if name in found:
                self.error(where, f"parameter {name} twice")
            if name[0] not in ("path", "query", "header"):
                self.error(where, f"parameter {name} is nowhere")
            if name[0] == "path" and parameter.get("required") is not True:
                self.error(where, f"path parameter {name[1]} must be required")
            self.examples(parameter, f"{where} {name[1]}")
            found[name] = parameter
        return found

    def headers(self, headers, where):
        for name, node in headers.items():
            header = self.resolve(node, where)
            self.keys("header", header, f"{where} {name}", ["schema"])
            self.examples(header, f"{where} {name}")

    def responses(self, responses, where):
        if not any(str(status).startswith("2") for status in responses):
            self.error(where, "has no success")
        for status, node in responses.items():
            if not re.fullmatch(r"[1-5]\d\d|default", str(status)) or not isinstance(status, str):
                self.error(where, f"{status!r} is no status")
            response = self.resolve(node, f"{where} {status}")
            self.keys("response", response, f"{where} {status}", ["description"])
            self.headers(response.get("headers", {}), f"{where} {status}")
            self.content(response.get("content", {}), f"{where} {status}", status)

    def operation(self, path, method, operation, shared):
        where = f"{method.upper()} {path}"
        self.keys("operation", operation, where, ["operationId", "tags", "summary", "responses"])
        if operation.get("operationId") in self.operation_ids:
            self.error(where, f"operationId {operation['operationId']} twice")
        self.operation_ids.add(operation.get("operationId"))
        tags = {tag["name"] for tag in self.document.get("tags", [])}
        for tag in set(operation.get("tags", [])) - tags:
            self.error(where, f"tag {tag} is not declared")
        self.security(operation.get("security", []), where)
        parameters = self.parameters(shared + operation.get("parameters", []), where)
        named = {name for place, name in parameters if place == "path"}
        if named != set(re.findall(r"{(\w+)}", path)):
            self.error(where, f"path parameters {named} are not those of the path")
        if "requestBody" in operation:
            body = self.resolve(operation["requestBody"], where)
            self.keys("body", body, where, ["content"])
            self.content(body.get("content", {}), f"{where} body")
        self.responses(operation.get("responses", {}), where)
        return parameters

    def security(self, requirements, where):
        schemes = self.document["components"].get("securitySchemes", {})
        for requirement in requirements:
            for name in set(requirement) - set(schemes):
                self.error(where, f"security scheme {name} is not declared")

    def run(self):
        document = self.keys("document", self.document, "document", ["info", "paths", "components"])
        if not re.fullmatch(r"3\.1\.\d+", document.get("openapi", "")):
            self.error("document", "is not OpenAPI 3.1")
        for key in ("title", "version"):
            if not isinstance(document["info"].get(key), str):
                self.error("info", f"{key} is missing")
        self.keys("components", document["components"], "components")
        self.security(document.get("security", []), "document")
        for name, schema in document["components"]["schemas"].items():
            self.schema(schema, name)
            jsonschema.Draft202012Validator.check_schema(schema)
        for name, node in document["components"]["responses"].items():
            self.responses({"200": {"description": "-"}, "default": node}, f"response {name}")
        operations = {}
        for path, item in document["paths"].items():
            self.keys("path", item, path)
            for method in METHODS & set(item):
                operations[method.upper(), path] = (
                    item[method],
                    self.operation(path, method, item[method], item.get("parameters", [])))
        self.unused()
        self.routes(operations)
        self.slugs()

    # ---- truth

    def unused(self):
        for kind, nodes in self.document["components"].items():
            for name in nodes:
                reference = f"#/components/{kind}/{name}"
                if kind != "securitySchemes" and reference not in self.used | {
                        "#/components/schemas/ProblemType"}:
                    self.error(reference, "is not used")

    def routes(self, operations):
        """The document's operations are the router's routes, with the same callers and keys."""
        text = (ROOT / "service/http/api/router.c").read_text()
        lists = re.findall(r'static const char \*const (\w+)\[\] = \{([^}]*)\}', text)
        queries = {name: set(re.findall(r'"(\w+)"', names)) for name, names in lists}
        pattern = re.compile(r'\{METHOD_(\w+),\s*"([^"]+)",\s*"[^"]+",\s*CALLER_(\w+),\s*([^,]+),'
                             r'.*,\s*(\w+)\},')
        macros = dict(re.findall(r"#define (\w+) \((ROUTE_[^)]*)\)", text))
        routes = {(m, p): (caller, macros.get(flags, flags), queries.get(query, set()))
                  for m, p, caller, flags, query in pattern.findall(text)}
        if not routes:
            self.error("router.c", "its table was not understood")
        for method, path in sorted(set(routes) - set(operations)):
            self.error(f"{method} {path}", "is in router.c but not here")
        for method, path in sorted(set(operations) - set(routes)):
            self.error(f"{method} {path}", "is not in router.c")
        for name in set(routes) & set(operations):
            caller, flags, query = routes[name]
            operation, parameters = operations[name]
            where = " ".join(name)
            security = operation.get("security", self.document["security"])
            schemes = {scheme for requirement in security for scheme in requirement}
            expected = {"OPEN": set(), "CLIENT": {"client", "administrator"},
                        "ADMIN": {"administrator"}}[caller]
            if schemes != expected:
                self.error(where, f"may be called by {caller}, which is not {schemes}")
            for header, sent in (("Idempotency-Key", "ROUTE_KEY" in flags),
                                 ("If-Match", "ROUTE_TAGGED" in flags),
                                 ("If-None-Match", "ROUTE_TAGGED" in flags)):
                if sent != (("header", header) in parameters):
                    self.error(where, f"{header}: here and in router.c differ")
            if ("ROUTE_BODY" in flags) != ("requestBody" in operation):
                self.error(where, "body: here and in router.c differ")
            if query != {parameter for place, parameter in parameters if place == "query"}:
                self.error(where, "query parameters: here and in router.c differ")

    def slugs(self):
        """Every problem that a client can meet has an example here, with the program's status and title."""
        slugs = dict(re.findall(r'\[(RC_\w+)\] = "([\w-]+)"', (ROOT / "service/base/rc.c").read_text()))
        table = (ROOT / "service/http/wire/problem_table.c").read_text()
        # An entry without a remedy (an empty string) is never sent to a client.
        entries = re.findall(r'\[(RC_\w+)\] = \{(\d+), \w+, "([^"]*)",\s*(""\})?', table)
        known = {slugs[rc]: (int(status), title)
                 for rc, status, title, no_remedy in entries if not no_remedy}
        listed = {name.removeprefix("/problems/")
                  for name in self.document["components"]["schemas"]["ProblemType"]["enum"]}
        if not known:
            self.error("problem_table.c", "its table was not understood")
        for slug in sorted(set(known) ^ listed):
            self.error("ProblemType", f"{slug} is only in one of problem_table.c and this list")
        for slug in sorted(set(known) ^ set(self.problems)):
            self.error("problem examples", f"{slug} is only in one of problem_table.c and the examples")
        for slug in sorted(set(known) & set(self.problems)):
            if known[slug] != self.problems[slug]:
                self.error("problem examples", f"{slug} is {self.problems[slug]}, not {known[slug]}")


def main():
    path = ROOT / "api/openapi.yaml"
    try:
        document = yaml.load(path.read_text(), Loader=UniqueLoader)
    except yaml.YAMLError as error:
        sys.exit(f"{path}: {error}")
    linter = Linter(document)
    linter.run()
    for error in sorted(set(linter.errors)):
        print(f"api/openapi.yaml: {error}", file=sys.stderr)
    print(f"api/openapi.yaml: {len(linter.operation_ids)} operations, {len(set(linter.errors))} errors")
    sys.exit(1 if linter.errors else 0)


if __name__ == "__main__":
    main()
