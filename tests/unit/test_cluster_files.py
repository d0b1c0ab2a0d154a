"""The files with which a cluster is made: that they say what they should, to those who read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
import yaml

from ..kuberay import ray_job_schema

CLUSTER = Path(__file__).parents[2] / "docs" / "cluster"
RAY_JOB = yaml.safe_load((CLUSTER / "rayjob.yaml").read_text(encoding="utf-8"))
EC2 = yaml.safe_load((CLUSTER / "ec2.yaml").read_text(encoding="utf-8"))


def _object(required: tuple[str, ...] = (), **properties: dict) -> dict:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT, COUNT, ANYTHING = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "object"}
#: KubeRay refuses what `ray start` has no option for only in the pod's log; all of its values are text.
_START = {"type": "object", "additionalProperties": TEXT}
_POD = _object(("spec",), metadata=ANYTHING, spec=ANYTHING)
#: What of ray.io/v1 RayJob the manifest uses, by name and type: a word that KubeRay does not know it would leave out
#: silently.
USED = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=_object(("name",), name=TEXT),
    spec=_object(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        backoffLimit=COUNT,
        submitterConfig=_object(backoffLimit=COUNT),
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        activeDeadlineSeconds=COUNT,
        rayClusterSpec=_object(
            ("headGroupSpec",),
            rayVersion=TEXT,
            headGroupSpec=_object(("template",), rayStartParams=_START, template=_POD),
            workerGroupSpecs={
                "type": "array",
                "items": _object(
                    ("groupName", "template", "minReplicas", "maxReplicas"),
                    groupName=TEXT,
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    rayStartParams=_START,
                    template=_POD,
                ),
            },
        ),
    ),
)


def _words() -> list[str]:
    return RAY_JOB["spec"]["entrypoint"].split()


def test_the_manifest_uses_words_that_kuberay_knows():
    jsonschema.Draft202012Validator(USED).validate(RAY_JOB)


def test_a_word_that_kuberay_does_not_know_is_found():
    wrong = json.loads(json.dumps(RAY_JOB))
    wrong["spec"]["rayClusterSpec"]["workerGroupSpec"] = wrong["spec"]["rayClusterSpec"].pop("workerGroupSpecs")
    with pytest.raises(jsonschema.ValidationError, match="workerGroupSpec"):
        jsonschema.Draft202012Validator(USED).validate(wrong)


@pytest.mark.seconds
def test_the_manifest_is_what_the_definition_of_a_cluster_takes(tmp_path: Path):
    schema = ray_job_schema(RAY_JOB["apiVersion"].rpartition("/")[2], tmp_path)
    takes = jsonschema.Draft202012Validator(_strict(schema))
    takes.validate(RAY_JOB)
    for wrong in _changed():
        assert not takes.is_valid(wrong)


def _changed() -> Iterator[dict]:
    """The manifest with a word that is none, a value of another type, and without what a group must have."""
    for name, value in (("replica", 1), ("replicas", "two"), ("template", None)):
        wrong = json.loads(json.dumps(RAY_JOB))
        (workers,) = wrong["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        workers[name] = value
        yield wrong


def _strict(schema: object) -> object:
    """The schema with every word refused that it does not name, which a cluster leaves out silently."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        strict["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    return strict


def test_there_is_a_node_for_each_generator_and_none_beside_the_head():
    cluster = RAY_JOB["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert int(_words()[_words().index("--generators") + 1]) == workers["replicas"] == workers["minReplicas"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    types = EC2["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert types["generator"]["min_workers"] == EC2["max_workers"]


def test_a_job_is_not_tried_until_it_is_good():
    assert RAY_JOB["spec"]["backoffLimit"] == RAY_JOB["spec"]["submitterConfig"]["backoffLimit"] == 0


def test_the_entrypoint_is_a_command_that_servemark_understands():
    from servemark.cli.options import parse_run

    program, subcommand, *words = _words()
    assert (program, subcommand) == ("servemark", "run")
    assert parse_run("servemark run", words)


def test_all_pods_have_the_same_image_and_the_ray_that_is_named():
    cluster = RAY_JOB["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"]["template"], *(one["template"] for one in cluster["workerGroupSpecs"])]
    assert len({one["spec"]["containers"][0]["image"] for one in pods}) == 1
    assert f"ray[default]=={cluster['rayVersion']}" in EC2["setup_commands"][-1]
    assert f"FROM rayproject/ray:{cluster['rayVersion']}-" in (CLUSTER.parent / "cluster.md").read_text("utf-8")


def test_the_file_of_ec2_is_what_ray_takes():
    ray = find_spec("ray")
    assert ray is not None
    (folder,) = ray.submodule_search_locations
    schema = json.loads((Path(folder) / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(EC2, schema)
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        jsonschema.validate({**EC2, "max_worker": 4}, schema)
