-- The authorization server: clients that registered, what people granted them, and what is handed out under a grant.

create table clawbench.clients (
    id text primary key default gen_random_uuid()::text,
    -- the client's own claim
    name text not null,
    redirect_uris text[] not null,
    -- kept for good: a client that is forgotten locks its person out until they clean up by hand
    created_at timestamptz not null default now(),
    constraint client_has_a_name check (char_length(name) between 1 and 100),
    constraint client_has_a_few_redirect_uris check (cardinality(redirect_uris) between 1 and 10)
);

create table clawbench.grants (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references clawbench.users (id),
    agent_id uuid not null,
    -- a registered client, or one that is known without a row ('clawbench-cli')
    client_id text not null,
    scopes text[] not null,
    resource text not null,
    created_at timestamptz not null default now(),
    -- when it last gave an access token
    last_used_at timestamptz not null default now(),
    revoked_at timestamptz,
    revoked_why text,
    constraint grant_acts_as_an_agent_of_its_user
        foreign key (agent_id, user_id) references clawbench.agents (id, owner_id),
    constraint grant_scopes_are_offered check (
        cardinality(scopes) > 0 and scopes <@ array['clawbench:read', 'clawbench:run']
    ),
    constraint grant_is_revoked_for_a_reason check ((revoked_at is null) = (revoked_why is null)),
    constraint grant_reason_is_known check (revoked_why in ('user', 'client', 'reused_code', 'reused_refresh_token'))
);

-- "what did I let act for me", "stop all of it"
create index grants_of_a_user on clawbench.grants (user_id);

-- null: issued by an operator, or before there were grants
alter table clawbench.access_tokens
    add column grant_id uuid references clawbench.grants (id),
    add constraint granted_token_is_a_clients check (grant_id is null or client_id is not null);

-- A grant is forgotten only when none of its tokens is left.
create index access_tokens_of_a_grant on clawbench.access_tokens (grant_id);

create table clawbench.refresh_tokens (
    id uuid primary key default gen_random_uuid(),
    token_sha256 bytea not null,
    grant_id uuid not null references clawbench.grants (id),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    -- when it was first exchanged; used again long after that, it ends its grant
    rotated_at timestamptz,
    constraint refresh_token_is_hashed check (octet_length(token_sha256) = 32),
    constraint refresh_token_expires_after_it_is_made check (expires_at > created_at)
);

-- A refresh finds its token.
create unique index refresh_tokens_by_hash on clawbench.refresh_tokens (token_sha256);

-- A grant is forgotten only when none of its tokens is left.
create index refresh_tokens_of_a_grant on clawbench.refresh_tokens (grant_id);

create table clawbench.authorizations (
    id uuid primary key default gen_random_uuid(),
    -- what the consent page's address holds
    request_sha256 bytea not null,
    client_id text not null references clawbench.clients (id),
    redirect_uri text not null,
    scopes text[] not null,
    resource text not null,
    state text,
    -- S256 only
    code_challenge text not null,
    created_at timestamptz not null default now(),
    -- until when a person may decide
    expires_at timestamptz not null default now() + interval '30 minutes',
    user_id uuid references clawbench.users (id),
    agent_id uuid,
    approved_at timestamptz,
    denied_at timestamptz,
    code_sha256 bytea,
    redeemed_at timestamptz,
    grant_id uuid references clawbench.grants (id),
    constraint authorization_request_is_hashed check (octet_length(request_sha256) = 32),
    constraint authorization_code_is_hashed check (octet_length(code_sha256) = 32),
    constraint authorization_scopes_are_offered check (
        cardinality(scopes) > 0 and scopes <@ array['clawbench:read', 'clawbench:run']
    ),
    constraint authorization_challenge_is_a_sha256 check (code_challenge ~ '^[A-Za-z0-9_-]{43}$'),
    constraint authorization_is_decided_once check (approved_at is null or denied_at is null),
    constraint authorization_knows_who_decided check (
        (user_id is not null) = (approved_at is not null or denied_at is not null)
    ),
    constraint authorization_has_a_code_iff_approved check (
        (approved_at is not null) = (agent_id is not null) and (approved_at is not null) = (code_sha256 is not null)
    ),
    constraint authorization_is_redeemed_iff_it_gave_a_grant check (
        (redeemed_at is not null) = (grant_id is not null) and (redeemed_at is null or approved_at is not null)
    ),
    constraint authorization_acts_as_an_agent_of_its_user
        foreign key (agent_id, user_id) references clawbench.agents (id, owner_id)
);

-- The consent page finds what is asked.
create unique index authorizations_by_request on clawbench.authorizations (request_sha256);

-- An exchange finds its code.
create unique index authorizations_by_code on clawbench.authorizations (code_sha256);

-- A grant is forgotten only when nothing refers to it.
create index authorizations_of_a_grant on clawbench.authorizations (grant_id);

alter table clawbench.attempts
    drop constraint attempt_kind_is_known,
    add constraint attempt_kind_is_known check (
        kind in ('sign_in', 'sign_in_address', 'user_code', 'device_authorization', 'registration', 'authorization')
    );

alter table clawbench.clients enable row level security;
alter table clawbench.grants enable row level security;
alter table clawbench.refresh_tokens enable row level security;
alter table clawbench.authorizations enable row level security;
