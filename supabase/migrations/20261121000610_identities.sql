-- Identities: who an upstream OpenID issuer says a user is. The issuer's subject is the key, never a name or an address.

create table clawbench.identities (
    issuer text not null,
    subject text not null,
    user_id uuid not null references clawbench.users (id),
    created_at timestamptz not null default now(),
    constraint identity_is_one_users primary key (issuer, subject),
    -- OpenID Connect Core §2: at most 255 characters
    constraint subject_is_one check (length(subject) between 1 and 255)
);

-- "how does this user sign in"
create index identities_of_a_user on clawbench.identities (user_id);

alter table clawbench.identities enable row level security;
