/** Signals that this process gets and hands on to the container's. */

/** Not among them: what cannot be caught, what tells of this process's own children, pipes and window. */
const forwarded: NodeJS.Signals[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGABRT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGTERM",
  "SIGCONT",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGVTALRM",
  "SIGPROF",
  "SIGIO",
  "SIGPWR",
  "SIGSYS",
];

/** Calls `handle` with the name of each signal until the returned function is called. */
export function onSignals(handle: (signal: string) => void): () => void {
  const listener = (signal: NodeJS.Signals) => handle(signal);
  for (const signal of forwarded) process.on(signal, listener);
  return () => {
    for (const signal of forwarded) process.off(signal, listener);
  };
}
