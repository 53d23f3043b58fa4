"""How the server is operated: unit, manifests, image and manual agree."""

import configparser
import http.server
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import threading

import manuals
import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
MANUAL = ROOT / "qcs_jax/serve/operate.md"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", "")


def blocks(language):
    """The blocks of code of the manual in one language."""
    text = MANUAL.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def stage(name):
    """Instructions of a stage of the Dockerfile, and what each says last."""
    *_, below = re.split(rf"^FROM .*\bAS {name}$", DOCKERFILE, flags=re.MULTILINE)
    lines = re.split(r"^FROM ", below, flags=re.MULTILINE)[0].splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line[:1].isupper())


IMAGE = stage("serve")
FLAGS = json.loads(IMAGE["ENTRYPOINT"])[2:]
TOKEN = dict(flag.split("=") for flag in FLAGS)["--token-file"]
PORT = int(dict(flag.split("=") for flag in FLAGS)["--port"])
MANIFESTS, SCRAPE = map(list, map(yaml.safe_load_all, blocks("yaml")))
DEPLOYMENT, SERVICE, SCALER = MANIFESTS
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
UNIT = configparser.ConfigParser(interpolation=None)  # refuses what is there twice
UNIT.optionxform = str
UNIT.read_string(blocks("ini")[0])
BEFORE_STOP = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
PROGRAM, COMMAND, *UNIT_FLAGS = shlex.split(UNIT["Service"]["ExecStart"])


def test_the_image_listens_to_all_with_a_token_and_without_root():
    assert json.loads(IMAGE["ENTRYPOINT"])[:2] == ["qcs-jax", "serve"]
    assert "--host=0.0.0.0" in FLAGS and int(IMAGE["EXPOSE"]) == PORT
    assert "[serve]" in IMAGE["RUN"] and int(IMAGE["USER"]) > 0
    assert int(stage("predict")["USER"]) == int(IMAGE["USER"])
    # Without a target it is what it was before.
    assert DOCKERFILE.rstrip().endswith("\nFROM predict")
    [build, run, stop] = manuals.commands(MANUAL, "docker")
    assert build[1] == "--target=serve" and build[3] == run[-1] == CONTAINER["image"]
    assert stop[-1] == run[run.index("--name") + 1]
    assert int(stop[2]) == POD["terminationGracePeriodSeconds"]
    assert f"127.0.0.1:{PORT}:{PORT}" in run and f"$PWD/token:{TOKEN}:ro" in run


@pytest.mark.parametrize("status", [200, 503])
def test_the_image_knows_how_it_is(status):
    """The command of its HEALTHCHECK, asked of a server that says so."""
    paths = []

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    python, *command = json.loads(IMAGE["HEALTHCHECK"].partition("CMD ")[2])
    assert python == "python" and f"'127.0.0.1', {PORT}," in command[1]
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_port)
        command[1] = command[1].replace(str(PORT), port)
        done = subprocess.run([sys.executable, *command], capture_output=True)
        server.shutdown()
    assert (done.returncode, paths) == (int(status != 200), ["/healthz"])


def test_what_answers_is_what_is_asked():
    """Ports, labels and names: those of one manifest are those of the others."""
    [port] = CONTAINER["ports"]
    assert port["containerPort"] == PORT and "command" not in CONTAINER
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert SERVICE["spec"]["selector"] == labels
    assert SERVICE["spec"]["ports"][0]["targetPort"] == port["name"]
    asked = {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    for probe, path in asked.items():
        wanted = {"path": path, "port": port["name"]}
        assert CONTAINER[f"{probe}Probe"]["httpGet"] == wanted
    target = SCALER["spec"]["scaleTargetRef"]
    names = ("apiVersion", "kind")
    assert {name: DEPLOYMENT[name] for name in names} == {x: target[x] for x in names}
    assert target["name"] == DEPLOYMENT["metadata"]["name"]
    assert "replicas" not in DEPLOYMENT["spec"]  # an update would undo the scaler's
    [metric] = SCALER["spec"]["metrics"]
    assert metric["resource"]["name"] in CONTAINER["resources"]["requests"]


def test_the_pod_may_do_little_and_has_what_it_needs():
    assert POD["securityContext"]["runAsNonRoot"]
    assert POD["securityContext"]["runAsUser"] == int(IMAGE["USER"])
    own = CONTAINER["securityContext"]
    assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"]
    assert own["capabilities"] == {"drop": ["ALL"]}
    resources = CONTAINER["resources"]
    assert resources["limits"]["memory"] == resources["requests"]["memory"]
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {x["mountPath"]: volumes.pop(x["name"]) for x in CONTAINER["volumeMounts"]}
    assert not volumes and "emptyDir" in mounts["/tmp"]
    folder, _, file = TOKEN.rpartition("/")
    secret = mounts[folder]["secret"]
    assert secret["defaultMode"] == 0o440 and POD["securityContext"]["fsGroup"]
    created, _ = manuals.commands(MANUAL, "kubectl")
    assert created[-2:] == [secret["secretName"], f"--from-file={file}"]


def test_metrics_are_read_where_they_are():
    [scraped] = SCRAPE
    pods, here = scraped["scrape_configs"]
    chosen = {"app": "qcs-jax", "port": "http"}
    assert DEPLOYMENT["spec"]["template"]["metadata"]["labels"]["app"] == chosen["app"]
    assert CONTAINER["ports"][0]["name"] == chosen["port"]
    assert pods["relabel_configs"][0]["regex"] == ";".join(chosen.values())
    assert here["static_configs"] == [{"targets": [f"127.0.0.1:{PORT}"]}]


def test_the_unit_hands_its_token_on():
    service = UNIT["Service"]
    name, _, _ = service["LoadCredential"].partition(":")
    assert (PROGRAM, COMMAND) == ("/opt/qcs_jax/bin/qcs-jax", "serve")
    assert f"--token-file=${{CREDENTIALS_DIRECTORY}}/{name}" in UNIT_FLAGS
    assert f"--port={PORT}" in UNIT_FLAGS
    stop = int(service["TimeoutStopSec"])
    assert stop == POD["terminationGracePeriodSeconds"]
    assert "MemoryDenyWriteExecute" not in service  # see the manual


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
def test_systemd_knows_all_of_the_unit(tmp_path):
    path = tmp_path / "qcs-jax.service"
    path.write_text(blocks("ini")[0].replace(PROGRAM, sys.executable), "utf-8")
    command = ["systemd-analyze", "verify", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    about = [line for line in done.stderr.splitlines() if path.name in line]
    assert not about


@pytest.mark.parametrize(
    "flags",
    [FLAGS, [*FLAGS, *CONTAINER["args"]], UNIT_FLAGS],
    ids=["image", "pod", "unit"],
)
def test_the_command_takes_these_flags(flags, capsys):
    from qcs_jax.serve.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main([*flags, "--help"])  # which is done when all before it was taken
    assert ended.value.code == 0
    helped = " ".join(capsys.readouterr().out.split())
    for flag in flags:
        assert re.search(rf"{flag.partition('=')[0]}\b", helped)
    # Whoever stops it waits until the last request has been answered.
    told = re.search(r"`--timeout`, (\d+) seconds", MANUAL.read_text("utf-8"))[1]
    assert f"how long a request may take; default: {told}" in helped
    assert POD["terminationGracePeriodSeconds"] > BEFORE_STOP + int(told)


def test_the_server_has_these_addresses_and_numbers():
    addresses = (MANUAL.parent / "app.py").read_text("utf-8")
    probes = [CONTAINER[f"{x}Probe"] for x in ("startup", "readiness", "liveness")]
    asked = {probe["httpGet"]["path"] for probe in probes}
    for path in {*asked, "/metrics", "/v1/predict"}:
        assert f'Route("{path}"' in addresses
    numbers = (MANUAL.parent / "metrics.py").read_text("utf-8")
    names = set(re.findall(r"qcs_[a-z_]+", "".join(blocks("promql"))))
    assert names == {
        "qcs_requests_total",
        "qcs_request_seconds_bucket",
        "qcs_requests_inside",
    }
    for name in names:
        assert f'"{re.sub("_(total|bucket)$", "", name)}"' in numbers
