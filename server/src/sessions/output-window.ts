import { MAX_OUTPUT_CHUNK_BYTES } from '@openline/proto/limits';

/** A chunk, as the window sees it. */
export interface OutputArrival {
  readonly runId: string;
  readonly offset: number;
  readonly bytes: number;
  readonly round: number;
}

/** What becomes of it. `beyond`: more is under way than was granted, with all the slack that an honest agent may need. */
type Verdict = 'take' | 'drop' | 'beyond';

/**
 * The output of one agent that came and is not committed: held against what the agent was granted. An agent counts from sending to the
 * acknowledgement, this from arrival to the same, so an honest agent is never above its window here; twice that is a broken or hostile one.
 */
export class OutputWindow {
  #windowBytes = 0;
  #slackBytes = 0;
  #round = 0;
  #refusing = false;
  /** Of each run: where the last chunk ended, and how much of it is not acknowledged. undefined for the many that have none. */
  #runs: Map<string, { end: number; bytes: number }> | undefined;
  /** Came and was not acknowledged: taken or dropped. */
  #bytes = 0;

  grant(windowBytes: number): void {
    // A window that is smaller than a chunk lets one through.
    this.#windowBytes = Math.max(windowBytes, MAX_OUTPUT_CHUNK_BYTES);
    this.#slackBytes = this.#windowBytes;
  }

  arrived({ runId, offset, bytes, round }: OutputArrival): Verdict {
    this.#bytes += bytes;
    if (this.#bytes > this.#windowBytes + this.#slackBytes) return 'beyond';
    if (this.#refusing || round !== this.#round) return 'drop';
    this.#runs ??= new Map();
    const run = this.#runs.get(runId);
    if (run === undefined) this.#runs.set(runId, { end: offset + bytes, bytes });
    else {
      run.end = offset + bytes;
      run.bytes += bytes;
    }
    return 'take';
  }

  /** The agent is told that the output of this run is committed up to there. */
  committed(runId: string, position: number): void {
    const run = this.#runs?.get(runId);
    if (run === undefined) return;
    const left = position >= run.end ? 0 : Math.min(run.bytes, run.end - position);
    this.#bytes -= run.bytes - left;
    run.bytes = left;
    if (left > 0) return;
    this.#runs?.delete(runId);
    if (this.#runs?.size === 0) this.#runs = undefined;
  }

  /** There is no room: this chunk and what follows is dropped, and the agent will be asked for it again. */
  refuse(): void {
    this.#refusing = true;
  }

  /** @returns the number under which the agent is to send again what is not acknowledged */
  resume(windowBytes: number): number {
    // What is on its way from before still comes, and is dropped.
    const before = this.#windowBytes;
    this.grant(windowBytes);
    this.#slackBytes += before;
    this.#refusing = false;
    this.#runs = undefined;
    this.#bytes = 0;
    return ++this.#round;
  }
}
