"""A quick test of the connection to a server."""

from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.request

PROBE_TIMEOUT_S = 8.0


def reachable(url: str, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """Return whether a server answers one request to ``url`` within ``timeout_s`` seconds.

    Without a connection, huggingface_hub retries for three quarters of a minute; this tells sooner.
    """
    # In a thread, because urllib's timeout restarts with each address of a host, and leaves out the
    # look-up of the host.
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_answers(url, timeout_s)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return any(answers)


def _answers(url: str, timeout_s: float) -> bool:
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=timeout_s).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        # A server answered, even if this interpreter cannot verify its certificate.
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False
    return True
