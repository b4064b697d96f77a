export interface Repeated {
  stop(): void;
}

/**
 * Does the work again and again, never twice at a time.
 * @param onFailure called with the first of a row of failures: what failed is tried again anyway
 */
export function every(ms: number, work: () => Promise<void>, onFailure: (error: unknown) => void): Repeated {
  let underWay = false;
  let failing = false;
  const timer = setInterval(() => {
    if (underWay) return;
    underWay = true;
    work()
      .then(
        () => {
          failing = false;
        },
        (error: unknown) => {
          if (!failing) onFailure(error);
          failing = true;
        },
      )
      .finally(() => {
        underWay = false;
      });
  }, ms);
  return { stop: () => clearInterval(timer) };
}
