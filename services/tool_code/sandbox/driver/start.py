"""How the driver is started, by the host or by the listener in a pod."""

PACKAGE = "services.tool_code.sandbox.driver"


def start_command(python: str, driver_root: str, module: str, *arguments: str) -> list[str]:
    """Run ``main`` of one module: isolated, and with the driver's folder off the path again."""
    start = (
        f"import sys; sys.path.insert(0, {driver_root!r}); "
        f"from {PACKAGE}.{module} import main; del sys.path[0]; main()"
    )
    return [python, "-I", "-B", "-X", "utf8", "-c", start, *arguments]
