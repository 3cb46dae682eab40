"""Evaluates the Tiltfile without Tilt, which is no package of any registry: every function of Tilt's that is used is a stub.

An unknown name, a wrong keyword, a path that is not there, or a resource that no manifest has is an error. This shows what
we ask of Tilt, not what Tilt makes of it.
usage: check.py TILTFILE WORKLOAD...     (the workloads of the manifests; `cargo xtask test` gives them)
"""

import pathlib
import sys

import starlark

# The functions that we use, with their keywords as Tilt's API reference has them.
FUNCTIONS = {
    "allow_k8s_contexts": {"contexts"},
    "docker_build": {"ref", "context", "build_args", "dockerfile", "only", "ignore", "live_update", "target"},
    "k8s_yaml": {"yaml", "allow_duplicates"},
    "k8s_kind": {"kind", "api_version", "image_json_path", "image_object", "pod_readiness"},
    "k8s_resource": {"workload", "new_name", "port_forwards", "resource_deps", "objects", "auto_init", "labels", "links"},
    "kustomize": {"path", "flags", "kustomize_bin"},
    "local_resource": {"name", "cmd", "deps", "trigger_mode", "auto_init", "resource_deps", "labels", "serve_cmd"},
}
# The first positional argument of these is a path.
PATHS = {"kustomize": 0, "docker_build": 1}


def main():
    file, *workloads = sys.argv[1:]
    file = pathlib.Path(file)
    calls = []

    def stub(name, keywords):
        def call(*args, **kwargs):
            unknown = set(kwargs) - keywords
            if unknown:
                raise ValueError(f"{name} has no keyword {sorted(unknown)}")
            at = PATHS.get(name)
            paths = [args[at]] if at is not None and len(args) > at else []
            for path in paths + [kwargs[key] for key in ("dockerfile",) if key in kwargs]:
                if not (file.parent / path).exists():
                    raise ValueError(f"{name}: there is no {path}")
            calls.append((name, args, kwargs))
            return f"<{name}>"

        return call

    def module(path):
        made = starlark.Module()
        made["TRIGGER_MODE_MANUAL"] = "manual"
        for name, keywords in FUNCTIONS.items():
            made.add_callable(name, stub(name, keywords))
        dialect = starlark.Dialect.extended()
        dialect.enable_top_level_stmt = True
        dialect.enable_load = True
        tree = starlark.parse(str(path), path.read_text(), dialect=dialect)
        loader = starlark.FileLoader(lambda name: module(file.parent / name).freeze())
        starlark.eval(made, tree, starlark.Globals.standard(), loader)
        return made

    module(file)
    named = {args[0] for name, args, _ in calls if name == "k8s_resource"}
    waited = {after for name, _, kwargs in calls if name in ("k8s_resource", "local_resource") for after in kwargs.get("resource_deps", [])}
    unknown = (named | waited) - set(workloads)
    if unknown or not named:
        sys.exit(f"{file}: no manifest has {sorted(unknown)}; there are {sorted(workloads)}")
    print(f"{file}: {len(calls)} calls, {len(named)} resources, each of them in the manifests")


main()
