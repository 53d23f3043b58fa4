"""Services, in this process and in others, and what is sent to them."""

import io
import os
import pathlib
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import matplotlib
import small
from PIL import Image

from qcs_jax.serve import app, batches
from qcs_jax.serve.desk import Desk
from qcs_jax.serve.metrics import Metrics

PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def crop(seed, kind="PNG", side=50):
    """A face, encoded; to a detector it is none."""
    image = Image.fromarray(small.pixels(3, 3, 3, seed=seed))
    return encode(image.resize((side, side), Image.Resampling.BICUBIC), kind)


class Service:
    """An application and what is behind it."""

    def __init__(self, classifier, alike, monkeypatch, **options):
        with monkeypatch.context() as patch:  # they are compared once, not every time
            patch.setattr(batches, "_alike", lambda run, side: alike)
            self.metrics = Metrics()
            network = batches.Batches(
                batches.runner(classifier),
                classifier.resize,
                wait=options.pop("wait", 0.002),
                threads=options.pop("threads", 2),
                note=self.metrics.batch,
            )
        self.desk = Desk(
            classifier,
            network,
            workers=2,
            places=options.pop("places", 64),
            megapixels=options.pop("megapixels", 2.0),
        )
        self.metrics.watch_places(lambda: self.desk.inside)
        limits = app.Limits(options.pop("body", 1_000_000), options.pop("seconds", 60))
        about = app.describe(classifier, alike)
        self.app = app.create(self.desk, self.metrics, about, limits, **options)


class Process:
    """`qcs-jax serve` at a port that was free; killed at the end of a `with`."""

    def __init__(self, *flags, **environment):
        argv = [sys.executable, "-m", "qcs_jax", "serve", "--port=0", *flags]
        environment = {**os.environ, **environment}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(argv, env=environment, **pipes)
        line = self.process.stdout.readline()
        assert line.startswith("serving at http://"), self.process.communicate()
        self.address = line.split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ask(self, path, data=None):
        try:
            with urllib.request.urlopen(self.address + path, data, 60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def connect(self):
        host, port = self.address.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)))

    def inside(self):
        return float(re.findall("inside (.*)", self.ask("/metrics")[1])[-1])

    def end(self, signum):
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err
