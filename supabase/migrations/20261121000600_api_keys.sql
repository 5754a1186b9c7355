-- API keys: bearer tokens that people make for agents without a browser. Kept as their SHA-256 only.

create table clawbench.api_keys (
    id uuid primary key default gen_random_uuid(),
    key_sha256 bytea not null,
    name text not null,
    -- the key's first characters, by which its owner tells it from others
    starts_with text not null,
    user_id uuid not null references clawbench.users (id),
    agent_id uuid not null,
    scopes text[] not null,
    created_at timestamptz not null default now(),
    -- null: until it is revoked
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    constraint api_key_is_hashed check (octet_length(key_sha256) = 32),
    constraint api_key_name_is_readable check (
        name ~ '^[^[:space:][:cntrl:]]([^[:cntrl:]]{0,78}[^[:space:][:cntrl:]])?$'
    ),
    constraint api_key_shows_little_of_itself check (length(starts_with) <= 12),
    constraint api_key_acts_as_an_agent_of_its_user
        foreign key (agent_id, user_id) references clawbench.agents (id, owner_id),
    -- never admin, whatever the code above does
    constraint api_key_scopes_are_offered check (
        cardinality(scopes) > 0 and scopes <@ array['clawbench:read', 'clawbench:run']
    ),
    constraint api_key_expires_after_it_is_made check (expires_at > created_at)
);

-- The one read that every request with a key makes.
create unique index api_keys_by_hash on clawbench.api_keys (key_sha256);

-- "my keys"
create index api_keys_of_a_user on clawbench.api_keys (user_id, created_at);

alter table clawbench.api_keys enable row level security;
