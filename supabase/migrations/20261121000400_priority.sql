-- Which of an owner's runs goes first when both wait for a worker. Turns among owners are not touched by it.
alter table clawbench.runs
  add column priority smallint not null default 0,
  add constraint priority_is_small check (priority between -100 and 100);
