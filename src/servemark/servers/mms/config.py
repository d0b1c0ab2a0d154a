"""What Multi Model Server is configured with: its properties file, and its log4j file."""

from __future__ import annotations

from collections.abc import Mapping

from servemark.servers import ServerSettings
from servemark.servers.ports import LOOPBACK

#: MMS's own default.
DEFAULT_JOB_QUEUE_SIZE = 100


def server_properties(
    settings: ServerSettings, inference_port: int, management_port: int, *, tls: bool, listen: str = LOOPBACK
) -> Mapping[str, str]:
    """The configuration of a server at the address `listen`, apart from what says where its certificate is."""
    scheme = "https" if tls else "http"
    return {
        "inference_address": f"{scheme}://{listen}:{inference_port}",
        "management_address": f"{scheme}://{listen}:{management_port}",
        "job_queue_size": str(settings.job_queue_size or DEFAULT_JOB_QUEUE_SIZE),
        "default_response_timeout_seconds": str(settings.response_timeout_s),
        "decode_input_request": str(settings.decode_json).lower(),
        # Left out, it would be what nvidia-smi lists, and workers would be given GPUs that nobody asked for.
        "number_of_gpu": str(settings.gpus),
        "preload_model": str(settings.preload_model).lower(),
    }


def properties_text(properties: Mapping[str, str]) -> str:
    """`properties` as a Java properties file, in ASCII: Java reads such files as Latin-1, whatever the locale."""
    return "".join(f"{key}={_property_value(value)}\n" for key, value in properties.items())


def _property_value(value: str) -> str:
    """`value` as ``java.util.Properties.load`` reads it back."""
    letters = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if letters.startswith(" "):
        letters = "\\" + letters
    units = (letter.encode("utf-16-be", "surrogatepass") for letter in letters)
    return "".join(
        letter if letter.isascii() else "".join(f"\\u{unit[at : at + 2].hex()}" for at in range(0, len(unit), 2))
        for letter, unit in zip(letters, units, strict=True)
    )


def log4j_text() -> str:
    """Warnings and what workers print, to one file of bounded size; nothing that grows with every request.

    Its times are UTC, so that they are those of this machine in a container, too.
    """
    return """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR">
  <Appenders>
    <RollingFile name="server" fileName="${env:LOG_LOCATION}/mms_log.log"
                 filePattern="${env:LOG_LOCATION}/mms_log.%i.log">
      <PatternLayout pattern="%d{ISO8601}{UTC}Z [%-5p] %t %c{1} - %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="20 MB"/></Policies>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="MMS_METRICS" level="off"/>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <!-- What workers print: a handler's traceback comes at this level. -->
    <Logger name="com.amazonaws.ml.mms.wlm.WorkerLifeCycle" level="info"/>
    <Root level="warn"><AppenderRef ref="server"/></Root>
  </Loggers>
</Configuration>
"""
