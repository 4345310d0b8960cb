// What a session may do: buttons that would be refused are not shown.

/** Whether it may change what belongs to the tenant that is looked at: jobs, schedules, webhooks, dead letters. */
export function mayAct(session) {
  const others = session.acting && session.acting !== session.tenant.name;
  return session.may(others ? "operate" : "jobs:write");
}

/** Whether it may change what concerns all tenants: queues. */
export function mayOperate(session) {
  return session.may("operate");
}

/** Whether it may see what concerns all tenants: queues' numbers, pools, workers. */
export function mayWatch(session) {
  return session.may("operate:read");
}
