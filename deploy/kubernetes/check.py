#!/usr/bin/env python3
"""Checks the manifests of this folder without a cluster, and prints what it could not check.

    check.py              run the checks that this machine has the tools for
    check.py --install    first fetch the schemas from npm, into build/kubernetes-schemas
    check.py --require    fail if a check could not run

It builds each folder with kubectl or kustomize and validates the objects against Kubernetes' published
schemas (npm package kubernetes-models, with TypeScript to find unknown fields). It checks what schemas
cannot: selectors match, referenced names exist, no secret is included, Pods are restricted, the Job can
reach the database of the instances, and the proxy finds the instances. It passes the settings to holdfast itself,
and the proxy's to haproxy. It cannot check what needs a
cluster: whether the image starts, whether the network plugin enforces policies, how rollouts go.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FOLDERS = ["base", "migrate", "proxy", "example/service", "example/migrate", "example/proxy"]
# Pairs of instances and their migration Job, on the same database.
TOGETHER = [("base", "migrate"), ("example/service", "example/migrate")]
SCHEMAS = os.path.join(ROOT, "build/kubernetes-schemas")
PACKAGES = ["kubernetes-models@4.5.1", "typescript@5.9.3"]
BINARIES = [os.environ.get("HOLDFAST_BIN", "")] + [
    os.path.join(ROOT, "build", preset, "service/holdfast") for preset in ("release", "dev")]
OPTIONS = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
OPTIONS.add_argument("--install", action="store_true")
OPTIONS.add_argument("--require", action="store_true")

KUBECTL_MINOR = 27
DATABASE_PORT = 3306

# What the service needs after drain.delay_ms to finish the requests in flight.
FINISH_S = 9


class Report:
    def __init__(self):
        self.wrong = self.missing = 0

    def fail(self, where, what):
        self.wrong += 1
        print(f"kubernetes: {where}: {what}")

    def skip(self, what):
        self.missing += 1
        print(f"kubernetes: not checked: {what}")


def builder():
    """The command that builds a folder, or None. Debian 12's kubectl, from 2021, is too old."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        said = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True,
                              check=False).stdout
        version = re.search(r"\bv1\.(\d+)", said) or re.search(r'Minor:"(\d+)', said)
        if version and int(version.group(1)) >= KUBECTL_MINOR:
            return ["kubectl", "kustomize"]
    return None


def build(folder, command, report):
    """The objects of a folder, as built by kustomize."""
    done = subprocess.run([*command, os.path.join(HERE, folder)], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        report.fail(folder, done.stderr.strip())
        return []
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def parse_all(report):
    """Every file is YAML without duplicate keys."""
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [key.value for key, _ in node.value]
            for key in {key for key in keys if keys.count(key) > 1}:
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {key} stands twice")
            return super().construct_mapping(node, deep)

    for directory, _, names in os.walk(HERE):
        for name in names:
            if name.endswith(".yaml"):
                path = os.path.join(directory, name)
                try:
                    with open(path, encoding="utf-8") as file:
                        list(yaml.load_all(file, Strict))
                except yaml.YAMLError as error:
                    report.fail(os.path.relpath(path, HERE), error)


# ---- checks beyond the schemas ---------------------------------------------------------------------


def pods(objects):
    return [(item, item["spec"]["template"]) for item in objects
            if item["kind"] in ("Deployment", "Job")]


def is_proxy(template):
    return template["metadata"]["labels"]["app.kubernetes.io/component"] == "proxy"


def selectors(item):
    """The Pod selector of an object."""
    spec = item.get("spec", {})
    found = {"Service": [spec.get("selector")],
             "NetworkPolicy": [(spec.get("podSelector") or {}).get("matchLabels")],
             "PodDisruptionBudget": [(spec.get("selector") or {}).get("matchLabels")],
             "Deployment": [(spec.get("selector") or {}).get("matchLabels")]}.get(item["kind"], [])
    if item["kind"] == "Deployment":
        for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
            found.append((spread.get("labelSelector") or {}).get("matchLabels"))
    return found


def check_selectors(folder, objects, report):
    labels = [template["metadata"]["labels"] for _, template in pods(objects)]
    for item in objects:
        for selector in selectors(item):
            if not selector or not any(selector.items() <= label.items() for label in labels):
                report.fail(folder, f"{item['kind']} {item['metadata']['name']} selects {selector}")


def check_ports(folder, objects, report):
    names = {port["name"] for _, template in pods(objects)
             for container in template["spec"]["containers"] for port in container.get("ports", [])}
    used = [port["targetPort"] for item in objects if item["kind"] == "Service"
            for port in item["spec"]["ports"]]
    used += [port["port"] for item in objects if item["kind"] == "NetworkPolicy"
             for rule in item["spec"].get("ingress", []) for port in rule.get("ports", [])]
    for _, template in pods(objects):
        for container in template["spec"]["containers"]:
            used += [(container[probe].get("httpGet") or container[probe]["tcpSocket"])["port"]
                     for probe in ("startupProbe", "livenessProbe", "readinessProbe") if probe in container]
    for name in used:
        if name not in names:
            report.fail(folder, f"no container has a port {name}")


def check_targets(folder, objects, report):
    there = {(item["kind"], item["metadata"]["name"]) for item in objects}
    for item in objects:
        if item["kind"] == "HorizontalPodAutoscaler":
            target = item["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) not in there:
                report.fail(folder, f"{target['name']} is scaled, and is not there")
    for _, template in pods(objects):
        spec = template["spec"]
        account = spec.get("serviceAccountName", "default")
        if account != "default" and ("ServiceAccount", account) not in there:
            report.fail(folder, f"there is no ServiceAccount {account}")
        for container in spec["containers"]:
            for source in container.get("envFrom", []):
                if ("ConfigMap", source["configMapRef"]["name"]) not in there:
                    report.fail(folder, f"there is no ConfigMap {source['configMapRef']['name']}")
        for volume in spec.get("volumes", []):
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in there:
                report.fail(folder, f"there is no ConfigMap {volume['configMap']['name']}")


def check_secrets(folder, objects, report):
    for item in objects:
        if item["kind"] == "Secret":
            report.fail(folder, "a Secret stands here")
    for item, template in pods(objects):
        for container in [] if is_proxy(template) else template["spec"]["containers"]:
            for variable in container.get("env", []):
                if "secretKeyRef" not in variable.get("valueFrom", {}):
                    report.fail(folder, f"{item['kind']}: {variable['name']} is no reference to a Secret")


def check_restricted(folder, objects, report):
    """Kubernetes' Pod security standard `restricted`, and some settings beyond it."""
    for item, template in pods(objects):
        spec = template["spec"]
        wanted = [(spec.get("securityContext", {}).get("runAsNonRoot") is True, "runAsNonRoot"),
                  (spec.get("securityContext", {}).get("seccompProfile") == {"type": "RuntimeDefault"},
                   "seccompProfile"),
                  (spec.get("automountServiceAccountToken") is False, "automountServiceAccountToken"),
                  (spec.get("enableServiceLinks") is False, "enableServiceLinks"),
                  (not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")) and
                   all("configMap" in volume for volume in spec.get("volumes", [])), "nothing of the host's")]
        for container in spec["containers"]:
            security = container.get("securityContext", {})
            limits = container.get("resources", {})
            wanted += [(security.get("allowPrivilegeEscalation") is False, "allowPrivilegeEscalation"),
                       (security.get("readOnlyRootFilesystem") is True, "readOnlyRootFilesystem"),
                       (security.get("capabilities") == {"drop": ["ALL"]}, "capabilities"),
                       ("memory" in limits.get("limits", {}), "a limit of memory"),
                       ({"cpu", "memory"} <= limits.get("requests", {}).keys(), "requests")]
        for holds, name in wanted:
            if not holds:
                report.fail(folder, f"{item['kind']} {item['metadata']['name']} lacks {name}")


def check_drain(folder, objects, report):
    settings = settings_of(objects)
    for item, template in pods(objects):
        if item["kind"] == "Deployment" and not is_proxy(template):
            delay_s = int(settings.get("HOLDFAST_DRAIN_DELAY_MS", 0)) / 1000
            probe = template["spec"]["containers"][0]["readinessProbe"]
            if delay_s < probe["periodSeconds"]:
                report.fail(folder, "drain.delay_ms is over before anybody looks")
            if template["spec"]["terminationGracePeriodSeconds"] < delay_s + FINISH_S:
                report.fail(folder, "terminationGracePeriodSeconds is shorter than the drain")


def databases(objects):
    """The destinations that policies allow for the database port. The address itself is in the Secret."""
    return [peer for item in objects if item["kind"] == "NetworkPolicy"
            for rule in item["spec"].get("egress", [])
            if any(port.get("port") == DATABASE_PORT for port in rule.get("ports", []))
            for peer in rule.get("to", [])]


def check_databases(built, report):
    """The migration Job can reach every database destination of the instances."""
    for service, migrate in TOGETHER:
        theirs, its = databases(built[service]), databases(built[migrate])
        if not theirs:
            report.fail(service, "no policy lets it to a database")
        for peer in (peer for peer in theirs if peer not in its):
            report.fail(migrate, f"no policy lets it reach the database of {service}, {json.dumps(peer)}")
        for peer in (peer for peer in its if peer not in theirs):
            report.fail(service, f"no policy lets it reach the database of {migrate}, {json.dumps(peer)}")


def settings_of(objects):
    found = {}
    for item in objects:
        if item["kind"] == "ConfigMap":
            found.update(item["data"])
    return found


def check_settings(folder, objects, report):
    """Lets holdfast check the settings, with secrets replaced by placeholders."""
    binary = next((path for path in BINARIES if os.access(path, os.X_OK)), None)
    if not binary:
        return False
    for _, template in pods(objects):
        if is_proxy(template):
            continue
        container = template["spec"]["containers"][0]
        environment = dict(settings_of(objects)) if container.get("envFrom") else {}
        environment.update({variable["name"]: "x" for variable in container.get("env", [])})
        environment["HOLDFAST_STORE"] = "mysql://user:password@host:3306/holdfast"
        done = subprocess.run([binary, "config"], env=environment, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            report.fail(folder, done.stderr.strip())
    return True


def check_proxy(folder, built, report):
    """The proxy looks for a Service of the instances, on a port of it, and haproxy accepts its configuration."""
    for _, template in pods(built[folder]):
        variables = {variable["name"]: variable.get("value", "") for variable in template["spec"]["containers"][0]["env"]}
        name, _, port = variables["HOLDFAST_INSTANCES"].partition(":")
        found = [service for service in built["base"] if service["kind"] == "Service" and
                 service["metadata"]["name"] == name.partition(".")[0] and service["spec"].get("clusterIP") == "None"]
        if not any(int(port) == one["port"] for service in found for one in service["spec"]["ports"]):
            report.fail(folder, f"there is no headless Service {name}, port {port}")
    if not shutil.which("haproxy"):
        return False
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(settings_of(built[folder])["haproxy.cfg"])
        file.flush()
        done = subprocess.run(["haproxy", "-c", "-f", file.name], capture_output=True, text=True, check=False,
                              env={**os.environ, "HOLDFAST_INSTANCES": "holdfast-instances.shop.svc.cluster.local:8080"})
    if done.returncode:
        report.fail(folder, done.stderr.strip())
    return True


# ---- the published schemas -------------------------------------------------------------------------


def check_schemas(built, report):
    if not shutil.which("node"):
        report.skip("schemas: node is not installed")
        return
    if not os.path.isdir(os.path.join(SCHEMAS, "node_modules/kubernetes-models")):
        report.skip("schemas: `check.py --install` fetches them")
        return
    text = json.dumps([{"where": folder, "object": item} for folder, items in built.items()
                       for item in items])
    done = subprocess.run(["node", os.path.join(HERE, "schemas.js"), SCHEMAS], input=text,
                          capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        report.fail("schema", line)
    if done.returncode and not done.stdout:
        report.fail("schema", done.stderr.strip())


def install():
    os.makedirs(SCHEMAS, exist_ok=True)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts",
                    "--prefix", SCHEMAS, *PACKAGES], check=True)


CHECKS = [check_selectors, check_ports, check_targets, check_secrets, check_restricted, check_drain]


def main():
    options = OPTIONS.parse_args()
    if options.install:
        install()
    report = Report()
    parse_all(report)
    command, built = builder(), {}
    if command is None:
        report.skip(f"all but the YAML: neither kustomize nor kubectl 1.{KUBECTL_MINOR} is installed")
    else:
        built = {folder: build(folder, command, report) for folder in FOLDERS}
        for folder, objects in built.items():
            for check in CHECKS:
                check(folder, objects, report)
        check_databases(built, report)
        if not all([check_settings(folder, objects, report) for folder, objects in built.items()]):
            report.skip("settings: holdfast is not built")
        if not all([check_proxy(folder, built, report) for folder in ("proxy", "example/proxy")]):
            report.skip("the proxy's configuration: haproxy is not installed")
        check_schemas(built, report)
    count = sum(len(objects) for objects in built.values())
    print(f"kubernetes: {count} objects in {len(FOLDERS)} folders, {report.wrong} wrong, "
          f"{report.missing} checks left out")
    return 1 if report.wrong or (options.require and report.missing) else 0


if __name__ == "__main__":
    sys.exit(main())
