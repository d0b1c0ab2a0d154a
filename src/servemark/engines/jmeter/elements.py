"""The elements of a JMeter plan, as its GUI writes them: each function makes one, with its properties by name."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Value = str | int | bool
#: JMeter counts the time of timeouts and timers in whole milliseconds.
MS_PER_S = 1000


@dataclass
class Element:
    """An element and those below it in the tree that the GUI shows."""

    xml: ET.Element
    children: list[Element] = field(default_factory=list)

    def tree(self) -> list[ET.Element]:
        """The element and the ``hashTree`` of its children, which follows it in the file."""
        below = ET.Element("hashTree")
        for child in self.children:
            below.extend(child.tree())
        return [self.xml, below]


def element(test_class: str, gui_class: str, name: str, properties: Mapping[str, Value], comment: str = "") -> Element:
    """An element of class `test_class` that the GUI shows by `gui_class`."""
    xml = ET.Element(test_class, guiclass=gui_class, testclass=test_class, testname=name, enabled="true")
    if comment:
        _put(xml, "TestPlan.comments", comment)
    for key, value in properties.items():
        _put(xml, key, value)
    return Element(xml)


def _put(xml: ET.Element, name: str, value: Value) -> None:
    kind = "boolProp" if isinstance(value, bool) else "intProp" if isinstance(value, int) else "stringProp"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    ET.SubElement(xml, kind, name=name).text = text


def _collection(
    xml: ET.Element, name: str, kind: str, items: Sequence[tuple[str, Mapping[str, Value]]], *, within: str = ""
) -> None:
    """A list of elements of class `kind`; `within` is the property and class that holds the list, if one does."""
    holder = xml
    if within:
        outer, _, outer_class = within.partition(":")
        holder = ET.SubElement(xml, "elementProp", name=outer, elementType=outer_class)
    collection = ET.SubElement(holder, "collectionProp", name=name)
    for item_name, properties in items:
        item = ET.SubElement(collection, "elementProp", name=item_name, elementType=kind)
        for key, value in properties.items():
            _put(item, key, value)


def test_plan(name: str, comment: str, variables: Mapping[str, str]) -> Element:
    """The root: what it is, and variables that every element can use."""
    plan = element("TestPlan", "TestPlanGui", name, {"TestPlan.serialize_threadgroups": False}, comment)
    items = [(key, {"Argument.name": key, "Argument.value": value}) for key, value in variables.items()]
    holder = "TestPlan.user_defined_variables:Arguments"
    _collection(plan.xml, "Arguments.arguments", "Argument", items, within=holder)
    return plan


def thread_group(name: str, *, users: int, loops: int | None, duration_s: int | None, ramp_s: int) -> Element:
    """Users that start over `ramp_s` and each perform what is below `loops` times, or until `duration_s` has passed."""
    return _thread_group("ThreadGroup", name, users=users, loops=loops, duration_s=duration_s, ramp_s=ramp_s)


def set_up_group(name: str) -> Element:
    """What is below is done once before the other groups begin."""
    return _thread_group("SetupThreadGroup", name, users=1, loops=1, duration_s=None, ramp_s=0)


def _thread_group(
    kind: str, name: str, *, users: int, loops: int | None, duration_s: int | None, ramp_s: int
) -> Element:
    properties: dict[str, Value] = {
        "ThreadGroup.num_threads": str(users),
        "ThreadGroup.ramp_time": str(ramp_s),
        "ThreadGroup.scheduler": duration_s is not None,
        "ThreadGroup.duration": "" if duration_s is None else str(duration_s),
        "ThreadGroup.delay": "",
        "ThreadGroup.on_sample_error": "continue",
        # A new user would open a new connection in every loop.
        "ThreadGroup.same_user_on_next_iteration": True,
    }
    group = element(kind, f"{kind}Gui", name, properties)
    loop = ET.SubElement(
        group.xml,
        "elementProp",
        name="ThreadGroup.main_controller",
        elementType="LoopController",
        guiclass="LoopControlPanel",
        testclass="LoopController",
        testname="Loop Controller",
        enabled="true",
    )
    _put(loop, "LoopController.continue_forever", False)
    _put(loop, "LoopController.loops", "-1" if loops is None else str(loops))
    return group


def http_sampler(
    name: str,
    properties: Mapping[str, Value],
    *,
    body: str | None = None,
    body_file: str | None = None,
    content_type: str = "",
    comment: str = "",
) -> Element:
    """One HTTP request; its body is `body` as it stands, or the bytes of `body_file`, or there is none."""
    sampler = element("HTTPSamplerProxy", "HttpTestSampleGui", name, properties, comment)
    arguments: list[tuple[str, Mapping[str, Value]]] = []
    if body:
        _put(sampler.xml, "HTTPSampler.postBodyRaw", True)
        raw: dict[str, Value] = {"HTTPArgument.always_encode": False, "Argument.value": body}
        arguments = [("", {**raw, "Argument.metadata": "="})]
    elif body_file:
        # A file without a parameter's name is the whole body.
        file = {"File.path": body_file, "File.paramname": "", "File.mimetype": content_type}
        holder = "HTTPsampler.Files:HTTPFileArgs"
        _collection(sampler.xml, "HTTPFileArgs.files", "HTTPFileArg", [(body_file, file)], within=holder)
    holder = "HTTPsampler.Arguments:Arguments"
    _collection(sampler.xml, "Arguments.arguments", "HTTPArgument", arguments, within=holder)
    return sampler


def header_manager(headers: Sequence[tuple[str, str]]) -> Element:
    """Header fields of the request that it is below."""
    manager = element("HeaderManager", "HeaderPanel", "headers", {})
    items = [("", {"Header.name": name, "Header.value": value}) for name, value in headers]
    _collection(manager.xml, "HeaderManager.headers", "Header", items)
    return manager


def status_assertion(expected: int | None = None) -> Element:
    """Every request in its scope succeeds with the `expected` status only; None is any 2xx.

    By itself JMeter takes 2xx and 3xx for success, and anything else for a failure.
    """
    regular_expression, equals = 1, 8
    properties: dict[str, Value] = {
        "Assertion.test_field": "Assertion.response_code",
        "Assertion.assume_success": expected is not None,
        "Assertion.test_type": regular_expression if expected is None else equals,
        "Assertion.custom_message": f"the status is not {expected or '2xx'}",
    }
    assertion = element("ResponseAssertion", "AssertionGui", f"status is {expected or '2xx'}", properties)
    # "Asserion" is how JMeter spells it.
    strings = ET.SubElement(assertion.xml, "collectionProp", name="Asserion.test_strings")
    pattern = r"2\d\d" if expected is None else str(expected)
    _put(strings, pattern, pattern)
    return assertion


def pause(name: str, duration_ms: int) -> Element:
    """A user waits, in the place where this stands; the end of the run cuts it short."""
    of_thread, pausing = 0, 1
    properties: dict[str, Value] = {
        "ActionProcessor.action": pausing,
        "ActionProcessor.target": of_thread,
        "ActionProcessor.duration": str(duration_ms),
    }
    return element("TestAction", "TestActionGui", name, properties)


def script(kind: str, name: str, text: str) -> Element:
    """A Groovy script; `kind` is what it stands for: ``Sampler``, ``PreProcessor`` or ``Assertion``."""
    properties: dict[str, Value] = {
        "scriptLanguage": "groovy",
        "parameters": "",
        "filename": "",
        "cacheKey": "true",
        "script": text,
    }
    return element(f"JSR223{kind}", "TestBeanGUI", name, properties)


def csv_data_set(name: str, file: str, variables: Sequence[str]) -> Element:
    """In each loop of a user the next row of its `file`, and after the last one the first again."""
    properties: dict[str, Value] = {
        "filename": file,
        "fileEncoding": "UTF-8",
        "variableNames": ",".join(variables),
        "ignoreFirstLine": True,
        "delimiter": ",",
        "quotedData": False,
        "recycle": True,
        "stopThread": False,
        "shareMode": "shareMode.thread",
    }
    return element("CSVDataSet", "TestBeanGUI", name, properties)


def switch_controller(name: str, value: str) -> Element:
    """Performs the one of its children whose number is `value`."""
    return element("SwitchController", "SwitchControllerGui", name, {"SwitchController.value": value})


def endless_loop(name: str) -> Element:
    """Performs its children again and again, until one of them breaks the loop."""
    return element("LoopController", "LoopControlPanel", name, {"LoopController.loops": -1})


def counter(name: str, variable: str, *, start: int, step: int, digits: int) -> Element:
    """A number of all users together that grows by `step` in each loop, with leading zeros."""
    properties: dict[str, Value] = {
        "CounterConfig.start": str(start),
        "CounterConfig.end": "",
        "CounterConfig.incr": str(step),
        "CounterConfig.name": variable,
        "CounterConfig.format": "0" * digits,
        "CounterConfig.per_user": False,
    }
    return element("CounterConfig", "CounterConfigGui", name, properties)


def user_parameters(name: str, variable: str, values: Sequence[str]) -> Element:
    """A variable with a value of its own for each user; those beyond the last value begin with the first again."""
    parameters = element("UserParameters", "UserParametersGui", name, {"UserParameters.per_iteration": False})
    names = ET.SubElement(parameters.xml, "collectionProp", name="UserParameters.names")
    _put(names, variable, variable)
    users = ET.SubElement(parameters.xml, "collectionProp", name="UserParameters.thread_values")
    for number, value in enumerate(values, 1):
        _put(ET.SubElement(users, "collectionProp", name=f"user {number}"), value, value)
    return parameters


def dns_table(hosts: Mapping[str, str]) -> Element:
    """Which address each host name stands for, whatever this machine's resolver says."""
    table = element("DNSCacheManager", "DNSCachePanel", "addresses", {})
    ET.SubElement(table.xml, "collectionProp", name="DNSCacheManager.servers")
    items = [(host, {"StaticHost.Name": host, "StaticHost.Address": address}) for host, address in hosts.items()]
    _collection(table.xml, "DNSCacheManager.hosts", "StaticHost", items)
    _put(table.xml, "DNSCacheManager.clearEachIteration", False)
    _put(table.xml, "DNSCacheManager.isCustomResolver", True)
    return table


_SAVED_OF_FAILURES = ("time", "latency", "timestamp", "success", "label", "code", "message", "threadName", "xml")
_NOT_SAVED_OF_FAILURES = ("dataType", "encoding", "assertions", "subresults", "responseData", "samplerData")
_NEVER_SAVED = ("fieldNames", "responseHeaders", "requestHeaders", "saveAssertionResultsFailureMessage")


def failure_writer(file: str) -> Element:
    """Writes each failed request with the body of its response to `file`, as XML."""
    writer = element(
        "ResultCollector",
        "SimpleDataWriter",
        "failed requests, with the response's body",
        {"ResultCollector.error_logging": True, "filename": file},
    )
    save = ET.SubElement(writer.xml, "objProp")
    ET.SubElement(save, "name").text = "saveConfig"
    configuration = ET.SubElement(save, "value", {"class": "SampleSaveConfiguration"})
    for name in _SAVED_OF_FAILURES:
        ET.SubElement(configuration, name).text = "true"
    for name in (*_NOT_SAVED_OF_FAILURES, *_NEVER_SAVED):
        ET.SubElement(configuration, name).text = "false"
    ET.SubElement(configuration, "responseDataOnError").text = "true"
    ET.SubElement(configuration, "assertionsResultsToSave").text = "0"
    return writer


def document(root: Element) -> str:
    """The text of a .jmx file whose test plan is `root`."""
    plan = ET.Element("jmeterTestPlan", version="1.2", properties="5.0", jmeter="5.6.3")
    ET.SubElement(plan, "hashTree").extend(root.tree())
    ET.indent(plan)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(plan, encoding="unicode") + "\n"


def property_text(value: str) -> str:
    """`value` as a Java properties file takes it."""
    escaped = value.replace("\\", "\\\\")
    if escaped.startswith(" "):
        escaped = "\\" + escaped
    units = escaped.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)
