"""A simulator in its own Java process, controlled through py4j.

ScienceWorld and TextWorldExpress both carry a jar with one interface object. Their Python wrappers fetch the whole state at every step and
leave ending the process to finalizers; here one call is one message, the heap is bounded, and close() ends the process.
"""

import logging
import os
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tratree_data.environments import EnvironmentFailure
from tratree_data.environments.requirements import need_java, need_package

OPTIONS = ["-Xmx512m", "-XX:+UseSerialGC"]
"""A JVM stays below half a gigabyte, and does not start a thread per core to collect garbage."""
SHOWN_CHARACTERS = 300
DEATH_SECONDS = 1.0


class JavaServer:
    """The process and its interface object. It ends with this process, however that ends, because it watches its standard input."""

    def __init__(self, jar: str, interface: str) -> None:
        java = need_java()
        need_package("py4j")
        from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

        logging.getLogger("py4j").setLevel(logging.CRITICAL)  # a killed process is reported as an EnvironmentFailure, once
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process: subprocess.Popen[bytes] | None = None
        self.failed = False
        try:
            port, self.process = launch_gateway(
                classpath=jar,
                javaopts=OPTIONS,
                die_on_exit=True,
                java_path=java,
                redirect_stderr=self.errors,
                cwd=str(Path(jar).parent),
                return_proc=True,
            )
            self.gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port), java_process=self.process)
            self.server = self.call(self._interface, interface)
        except EnvironmentFailure:
            self.close()
            raise
        except (OSError, ValueError) as error:  # py4j reads the port from the output, which may be empty
            raise EnvironmentFailure(
                "environment_error", f"Java could not start {Path(jar).name}: {self._last_words() or error}"
            ) from error

    def __getattr__(self, method: str) -> Any:
        """server.step("look") calls the interface's method of that name."""
        if method in {"server", "gateway", "process", "errors"}:
            raise AttributeError(method)
        return lambda *arguments: self.call(getattr(self.server, method), *map(_sendable, arguments))

    def call(self, action: Callable[..., Any], *arguments: Any) -> Any:
        from py4j.java_collections import JavaArray
        from py4j.protocol import Py4JError, Py4JJavaError

        try:
            result = action(*arguments)
            return list(result) if isinstance(result, JavaArray) else result
        except Py4JJavaError as error:
            self.failed = True
            raise EnvironmentFailure("environment_error", f"the simulator failed: {_first_lines(error)}") from error
        except (Py4JError, OSError) as error:
            self.failed = True
            status = self._wait_for_death()
            state = "does not answer" if status is None else f"has died with status {status}"
            raise EnvironmentFailure(
                "environment_error", f"the Java process {state}: {self._last_words() or _first_lines(error)}"
            ) from error

    @property
    def usable(self) -> bool:
        """Whether it runs and never failed: after an internal error (such as out of memory) its answers cannot be trusted."""
        return self._runs() and not self.failed

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def close(self) -> None:
        """Ends the process at once; a request to stop would wait for its current computation."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    stream.close()
            self.process = None
            self.gateway.close()
        self.errors.close()

    def _interface(self, name: str) -> Any:
        return getattr(self.gateway.jvm, name)()

    def _runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _wait_for_death(self) -> int | None:
        """Waits a moment: a broken connection is noticed before the end of the process."""
        if self.process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(DEATH_SECONDS)
        return self.process.poll()

    def _last_words(self) -> str:
        """The end of what the process wrote to stderr."""
        if self.errors.closed:
            return ""
        self.errors.seek(max(0, self.errors.seek(0, os.SEEK_END) - 4 * SHOWN_CHARACTERS))
        return " ".join(self.errors.read().decode("utf-8", "replace").split())[-SHOWN_CHARACTERS:]


def _sendable(argument: Any) -> Any:
    """Half a surrogate pair, which a model may write, cannot be sent as UTF-8; no simulator knows a word with one."""
    return argument.encode("utf-8", "replace").decode() if isinstance(argument, str) else argument


def _first_lines(error: Exception) -> str:
    """The error without the rest of its Java stack trace."""
    return " ".join(str(error).split("\n\tat ")[0].split())[-SHOWN_CHARACTERS:]
