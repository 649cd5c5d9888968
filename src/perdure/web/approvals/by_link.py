"""`/q/LINK`: one question, for whoever got the link in a notice. To look answers nothing.

GET  /q/LINK                  the question
POST /q/LINK/confirmation     what a passkey of the person is asked for
POST /q/LINK                  the answer, which the passkey has signed: that is who answers
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from ...access.callers import Caller, Role
from ...access.passkeys import Ceremonies
from ...access.viewings import Viewings
from ...core.errors import Forbidden, InvalidInput, UnknownStep
from ...core.people import person
from ...core.principal import Principal
from ...governance.question_links import PATH, QuestionLink
from ...journal import Approval
from ..strangers import strangers
from ..visit import address
from .answers import proof_in
from .question import Asked

if TYPE_CHECKING:
    from ..shell import Shell

__all__ = ["link_routes"]


def link_routes(shell: Shell) -> list[BaseRoute]:
    """Their addresses."""
    pages = _Pages(shell)
    routes = strangers(shell, "a link did not lead to an answer")
    return [
        routes(f"{PATH}{{link}}", pages.show),
        routes(f"{PATH}{{link}}", pages.answer, "POST"),
        routes(f"{PATH}{{link}}/confirmation", pages.confirmation, "POST"),
    ]


class _Pages:
    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._app = shell.app

    async def _opened(self, request: Request) -> tuple[QuestionLink, Approval]:
        await self._app.open()
        store = self._app.store
        link = await self._app.question_links().read(request.path_params["link"], now=store.now())
        if link is None:
            raise Forbidden(
                "this link is too old, or nobody here has made it: sign in, and look at what waits for you"
            )
        ref = self._app.ref(link.run, link.tenant)
        for approval in await store.approvals(ref=ref):
            if approval.step == link.step and approval.digest is not None:
                return link, approval
        raise UnknownStep("this is not asked any more: it was answered, or the run has moved on")

    async def show(self, request: Request) -> Response:
        link, approval = await self._opened(request)
        looks = link.person or "nobody in particular"
        if link.person is not None:  # a mailbox of several says nothing of who reads it: they sign in
            who = Principal(subject=link.person if ":" in link.person else f"user:{link.person}")
            caller = Caller(principal=who, tenant=link.tenant, roles=frozenset({Role.APPROVER}), via="link")
            await Viewings(self._app).saw(caller, "question", (approval.ref, approval.step))
        asked = Asked.of(approval, by=looks, settings=self._app.approval_settings, now=self._app.store.now())
        passkeys = await self._passkeys(link, approval)
        here = address(request, f"{PATH}{request.path_params['link']}")
        return self._shell.stranger(
            request, "approvals/by_link.html", asked=asked, link=link, passkeys=passkeys, here=here
        )

    async def confirmation(self, request: Request) -> Response:
        link, approval = await self._opened(request)
        by, form = await self._who(link, approval), await request.form()
        approved, reason = _said(form, approval)
        told = await Ceremonies(self._app).confirmation(
            approval, by=by, approved=approved, reason=reason or None
        )
        return JSONResponse(told)

    async def answer(self, request: Request) -> Response:
        link, approval = await self._opened(request)
        by, form = await self._who(link, approval), await request.form()
        approved, reason = _said(form, approval)
        proof = proof_in(_text(form, "proof"))
        if proof is None:
            raise Forbidden("a link answers nothing by itself: confirm it with your passkey, or sign in")
        await self._app.answer(
            approval.ref.id,
            approval.step,
            approved=approved,
            by=by,
            reason=reason or None,
            digest=_text(form, "digest") or None,
            proof=proof,
            tenant=link.tenant,
        )
        return self._shell.stranger(request, "approvals/by_link_done.html", approved=approved, run=link.run)

    async def _who(self, link: QuestionLink, approval: Approval) -> str:
        if await self._passkeys(link, approval) and link.person is not None:
            return link.person if ":" in link.person else f"user:{link.person}"
        raise Forbidden("sign in to answer this: the link does not say who you are, or you have no passkey")

    async def _passkeys(self, link: QuestionLink, approval: Approval) -> bool:
        """Whether the one to whom the link went can answer here: is asked by name, and has a passkey."""
        people: list[str] | None = approval.told.get("people")
        ceremonies = Ceremonies(self._app)
        if (
            ceremonies.settings is None
            or link.person is None
            or people is None  # asked of everybody: who may approve at all, a sign-in says
            or person(link.person) not in {person(name) for name in people}
        ):
            return False
        found = await ceremonies.passkeys.ls(tenant=link.tenant, owner=link.person)
        return any(passkey.revoked_at is None for passkey in found)


def _said(form: FormData, approval: Approval) -> tuple[bool, str]:
    verdict, reason = _text(form, "verdict"), _text(form, "reason").replace("\r\n", "\n")
    if verdict not in ("approve", "reject"):
        raise InvalidInput("say whether you approve or reject it")
    if verdict == "reject" and not reason:
        raise InvalidInput("say why you reject it: the run, and whoever reads its journal, goes by it")
    if _text(form, "digest") != approval.digest:
        raise InvalidInput(
            "what is asked has changed since the page was loaded: follow the link again, and look"
        )
    return verdict == "approve", reason


def _text(form: FormData, name: str) -> str:
    value: Any = form.get(name)
    return value.strip() if isinstance(value, str) else ""
