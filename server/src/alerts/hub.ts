import type { AlertHub } from './alerts.ts';

/** Tells watchers in this process. A listener must not throw. */
export function createAlertHub(): AlertHub {
  const listeners = new Set<Parameters<AlertHub['subscribe']>[0]>();
  return {
    publish(changes) {
      for (const listener of listeners) listener(changes);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
