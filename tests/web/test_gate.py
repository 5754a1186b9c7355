"""An admin publishes a run from a browser and takes it back, and the pages say what each gate said."""

from __future__ import annotations

import httpx2

from tests.sign_in_app import send, set_up
from tests.support.stack import Stack


async def test_an_admin_approves_a_scored_run_in_a_browser_and_withdraws_it(stack: Stack) -> None:
    run_id = await stack.scored_run(await stack.member())
    path, public = f"/admin/gate/{run_id}", f"/runs/{run_id}"
    admin = await stack.member(admin=True)
    async with httpx2.AsyncClient(base_url=stack.url) as browser, httpx2.AsyncClient(base_url=stack.url) as anybody:
        await set_up(browser, admin.person)
        listed = (await browser.get("/admin/gate")).text
        assert path in listed.partition("Approved</h2>")[0]
        page = await browser.get(path)
        assert "no admin has approved this run" in page.text
        assert (await anybody.get(public)).status_code == 404

        assert (await send(browser, path, {"do": "approve", "reason": "read the trace"})).status_code == 303
        assert (await anybody.get(public)).status_code == 200
        page = await browser.get(path)
        assert "no admin has approved" not in page.text and public in page.text
        listed = (await browser.get("/admin/gate")).text.partition("Approved</h2>")[2]
        assert path in listed and "read the trace" in listed
        by = await stack.deps.pool.fetchval(
            "select approved_by from clawbench.approvals where run_id::text = $1", run_id
        )
        assert by == f"user {admin.person.user.id}"

        assert (await send(browser, path, {"do": "withdraw", "reason": "a second look"})).status_code == 303
        assert (await anybody.get(public)).status_code == 404
        again = await send(browser, path, {"do": "withdraw", "reason": "once more"})
        assert (again.status_code, "no standing approval" in again.text) == (409, True)
