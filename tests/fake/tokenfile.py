"""tokenfile.py - the bearer tokens that tokens.py has issued: DIR/tokens.json.

{token: {"expires": epoch seconds by the servers' clock, "scope", "client"}}. Any
stand-in that takes bearer tokens looks here.
"""
import secrets

from base import read_json, write_json


def issue(place, life, **claims):
    """A new one; how long it lives is in seconds."""
    token = "ya29." + secrets.token_urlsafe(48)
    with place.lock:
        known = read_json(place.path("tokens.json"), {})
        known[token] = {"expires": place.now() + life, **claims}
        write_json(place.path("tokens.json"), known)
    return token


def find(place, request):
    """What is known of the request's token; None when it is none, or over."""
    text = request.header("authorization", "")
    known = read_json(place.path("tokens.json"), {}).get(text[len("Bearer "):]) \
        if text.startswith("Bearer ") else None
    if known is None or known["expires"] <= place.now():
        return None
    return known


def revoke_all(place):
    """As if they had been withdrawn at the issuer."""
    with place.lock:
        write_json(place.path("tokens.json"), {})
