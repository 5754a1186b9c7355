-- What Supabase's API may show by itself: anon the published views, a signed-in person also their own rows. It holds
-- whatever a query says or forgets, and nothing here can be written: that is the server's part.

-- Who the JWT of this request is, by the same identity that signs people in at an upstream issuer.
create function clawbench.signed_in_user() returns uuid
language sql stable security definer set search_path = '' as $$
  select i.user_id
  from (select nullif(current_setting('request.jwt.claims', true), '')::json as claims) c
  join clawbench.identities i on i.issuer = c.claims ->> 'iss' and i.subject = c.claims ->> 'sub'
$$;

create function clawbench.own_runs() returns setof uuid
language sql stable security definer set search_path = '' as $$
  select id from clawbench.runs where user_id = clawbench.signed_in_user()
$$;

create policy own_user on clawbench.users for select using (id = (select clawbench.signed_in_user()));
create policy own_agents on clawbench.agents for select using (owner_id = (select clawbench.signed_in_user()));
create policy own_runs on clawbench.runs for select using (user_id = (select clawbench.signed_in_user()));
-- What hangs on a run is seen with it.
create policy calls_of_own_runs on clawbench.calls for select
  using (run_id in (select clawbench.own_runs()));
create policy scores_of_own_runs on clawbench.scores for select
  using (run_id in (select clawbench.own_runs()));
create policy gate_results_of_own_runs on clawbench.gate_results for select
  using (run_id in (select clawbench.own_runs()));

do $$
declare
    reader text;
begin
    for reader in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('grant select on clawbench.public_leaderboard, clawbench.public_runs to %I', reader);
    end loop;
    if exists (select from pg_roles where rolname = 'authenticated') then
        -- By column: a sandbox's handle lets its holder in, and a password's hash is nobody's to see.
        grant select (id, name, is_admin, created_at) on clawbench.users to authenticated;
        grant select (id, owner_id, name, is_active, archived_at, created_at) on clawbench.agents to authenticated;
        grant select (
            id, user_id, agent_id, benchmark, task, form, mode, metadata, priority, status, why, provider, call_limit,
            calls_used, output_limit, output_used, wall_limit_s, last_seq, head_sha256, signature, deadline,
            created_at, started_at, finished_at
        ) on clawbench.runs to authenticated;
        grant select (
            run_id, client_call_id, seq, tool, arguments, deliveries, conflicts, accepted_at, answer, is_error,
            outcome, answered_at
        ) on clawbench.calls to authenticated;
        grant select (run_id, value, passed, scorer, scored_at) on clawbench.scores to authenticated;
        grant select on clawbench.gate_results to authenticated;
    end if;
end
$$;
