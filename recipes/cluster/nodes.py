"""Waits until a Ray cluster has all its nodes, and checks that they would run the same code.

Ray accepts a node that has another verl or an older copy of this plugin; such a node fails later, or silently trains
differently. `RAY_ADDRESS` names the cluster.
"""

import argparse
import sys
import time

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

PACKAGES = ("rvpo-verl", "verl", "torch", "transformers", "TransferQueue", "vllm", "flash-attn")


def software() -> dict[str, str]:
    """Versions of PACKAGES on the node that runs this, and a hash of the plugin's source code."""
    # Ray sends this function to nodes that cannot import this file, so it imports what it uses.
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


def wait(count: int, seconds: float) -> list[dict]:
    """Returns the live nodes, the head first, once there are `count`; exits after `seconds`."""
    deadline = time.monotonic() + seconds
    while len(nodes := [node for node in ray.nodes() if node["Alive"]]) < count:
        if time.monotonic() > deadline:
            joined = ", ".join(node["NodeManagerAddress"] for node in nodes)
            sys.exit(
                f"{len(nodes)} of {count} nodes joined in {seconds:g} s: {joined}. See the other nodes' logs."
            )
        time.sleep(0.5)
    return sorted(nodes, key=lambda node: "node:__internal_head__" not in node["Resources"])


def differences(nodes: list[dict]) -> list[str]:
    """Differences between the head's software and each node's, and required packages that the head lacks."""
    task = ray.remote(num_cpus=0)(software)
    on_node = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    head, *others = ray.get([task.options(scheduling_strategy=strategy).remote() for strategy in on_node])
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
    parser.add_argument("--count", type=int, default=1, help="number of nodes to wait for")
    parser.add_argument("--seconds", type=float, default=300, help="how long to wait for them")
    arguments = parser.parse_args()
    ray.init(log_to_driver=False, logging_level="warning")
    nodes = wait(arguments.count, arguments.seconds)
    if problems := differences(nodes):
        sys.exit("The nodes differ; install the same on all of them:\n  " + "\n  ".join(problems))
    print(f"{len(nodes)} nodes, alike: " + ", ".join(node["NodeManagerAddress"] for node in nodes))


if __name__ == "__main__":
    main()
