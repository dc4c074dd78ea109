"""The conversation that shows a person, and checks, that all of it works."""

import argparse
import contextlib
import sys

from deploy.local.folder import DataFolder
from deploy.local.stack import Stack


async def demo(arguments: argparse.Namespace) -> int:
    """Run ``threadmill demo`` against a server that is up, and return the exit code."""
    folder = DataFolder(arguments.data)
    running = folder.running()
    base_url = arguments.base_url or (running.base_url if running else "")
    if not base_url:
        sys.stderr.write(f"threadmill: nothing runs on {folder.path} yet; name a server with --base-url\n")
        return 1
    who = f" The answers come from {running.model}." if running and running.base_url == base_url else ""
    sys.stdout.write(f"A conversation with {base_url}, through the openai SDK.{who}\n\n")
    return 0 if await _shown(base_url, arguments.api_key or folder.api_key()) else 1


async def first_conversation(stack: Stack, folder: DataFolder) -> None:
    """Show the conversation of a folder's first start; one that fails is shown at the next start again."""
    with contextlib.suppress(OSError):  # nobody reads it
        sys.stdout.write("A first conversation, through the openai SDK. ")
        sys.stdout.write(f"The answers come from {stack.model_name}.\n\n")
    if await _shown(stack.base_url, stack.api_key):
        folder.welcomed.touch()


async def _shown(base_url: str, api_key: str) -> bool:
    from deploy.local.conversation import shown  # a second of imports that the start need not wait for

    return await shown(base_url, api_key, sys.stdout)
