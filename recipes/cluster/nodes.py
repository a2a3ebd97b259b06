"""Waits until a Ray cluster has all its nodes, and checks that they would run the same code.

A node with another verl, or an older copy of this plugin, joins Ray without complaint, and then fails or, worse,
trains otherwise in the middle of a run. `RAY_ADDRESS` names the cluster.
"""

import argparse
import sys
import time

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

PACKAGES = ("rvpo-verl", "verl", "torch", "transformers", "TransferQueue", "vllm", "flash-attn")


def software() -> dict[str, str]:
    """Versions of what training depends on, on the node where this runs; of the plugin the code itself as well."""
    import hashlib
    import importlib.metadata
    import importlib.util
    from pathlib import Path

    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    spec = importlib.util.find_spec("rvpo_verl")
    if spec is None or spec.origin is None:
        return found | {"rvpo_verl's code": "not found"}
    code = hashlib.sha256()
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        code.update(path.read_bytes())
    return found | {"rvpo_verl's code": code.hexdigest()[:12]}


def alive() -> list[dict]:
    return [node for node in ray.nodes() if node["Alive"]]


def wait(count: int, seconds: float) -> list[dict]:
    """The nodes, the head first, once there are `count`."""
    deadline = time.monotonic() + seconds
    while len(nodes := alive()) < count:
        if time.monotonic() > deadline:
            joined = ", ".join(node["NodeManagerAddress"] for node in nodes)
            sys.exit(
                f"{len(nodes)} of {count} nodes joined in {seconds:g} s: {joined}. The others' logs say why."
            )
        time.sleep(0.5)
    return sorted(nodes, key=lambda node: "node:__internal_head__" not in node["Resources"])


def differences(nodes: list[dict]) -> list[str]:
    """What is not on a node as it is on the head, and what is nowhere though training needs it."""
    task = ray.remote(num_cpus=0)(software)
    on_its_node = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    head, *others = ray.get([task.options(scheduling_strategy=where).remote() for where in on_its_node])
    problems = [
        f"{package} is not installed" for package in ("rvpo-verl", "verl") if head[package] == "not installed"
    ]
    for node, found in zip(nodes[1:], others, strict=True):
        problems += [
            f"{node['NodeManagerAddress']}: {package} is {found[package]}, on the head {version}"
            for package, version in head.items()
            if found[package] != version
        ]
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1, help="nodes that there must be")
    parser.add_argument("--seconds", type=float, default=300, help="in which they must have joined")
    arguments = parser.parse_args()
    ray.init(log_to_driver=False, logging_level="warning")
    nodes = wait(arguments.count, arguments.seconds)
    if problems := differences(nodes):
        sys.exit("The nodes differ; install the same on all of them:\n  " + "\n  ".join(problems))
    print(f"{len(nodes)} nodes, alike: " + ", ".join(node["NodeManagerAddress"] for node in nodes))


if __name__ == "__main__":
    main()
