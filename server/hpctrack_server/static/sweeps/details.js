// What the server tells of a sweep, with what several charts ask of it.
import { address } from "../base/api.js";
import { formatNumber } from "../base/format.js";

const SHOWN_PARAMETERS = 10;
const TEXT_MAX_CHARS = 60;

/**
 * @typedef {object} ParallelAxis
 * @property {string} name
 * @property {"parameter" | "metric"} role
 * @property {"number" | "choice"} kind
 * @property {boolean} [is_log]
 * @property {string} [goal]
 * @property {string[]} [choices]
 * @property {(number | null)[]} values one per trial
 */

/** @typedef {{trial: number, state: string, iterations: number[], values: (number | null)[], stopped_at: number | null, is_thinned: boolean}} Curve */
/** @typedef {{worker: string, job: string, host: string, trial: number, attempt: number, state: string, start_wall_s: number, end_wall_s: number | null}} Span */
/** @typedef {{name: string, fanova: number | null, ped_anova: number | null, correlation: number | null}} Importance */

/** @typedef {{parameters?: Importance[], notes?: string[], finished?: number, total?: number, error?: string}} Importances */

/**
 * @typedef {object} Told hpctrack_server/data/sweeps.py `details`
 * @property {{id: string, name: string, project: string, metrics: {name: string, goal: string}[]}} sweep
 * @property {Record<string, number>} counts
 * @property {{number: number[], state: string[], run: string[], run_project: string[], iterations: number[], duration_s: (number | null)[]}} trials
 * @property {ParallelAxis[]} parallel
 * @property {Curve[]} curves
 * @property {{configuration: number, finished: number[], metrics: Record<string, number>}[]} best
 * @property {Span[]} timeline
 * @property {number[]} rungs
 * @property {number[]} ranking
 * @property {number} absent_runs trials whose run is not in this store
 * @property {number} curves_left_out trials that are not in `curves`, for there are too many
 * @property {{number: number, executor: string, tasks: number, submitted_wall_s: number}[]} submissions
 * @property {number} over trials that are over
 * @property {number} wall_s
 * @property {number} created_wall_s
 */

/** @typedef {{at: number, number: number, state: string, run: string, project: string, value: number | null}} Trial */

export class Details {
  /** @param {Told} told */
  constructor(told) {
    this.told = told;
    this.metric = told.sweep.metrics[0] ?? null;
    this.sign = this.metric?.goal === "maximize" ? -1 : 1;
    this.metrics = told.parallel.filter((axis) => axis.role === "metric");
    /** The parameters in which trials differ. */
    this.parameters = told.parallel.filter((axis) => axis.role === "parameter" && new Set(axis.values).size > 1);
    const values = this.metrics[0]?.values ?? [];
    /** @type {Trial[]} */
    this.trials = told.trials.number.map((number, at) => ({
      at, number, state: told.trials.state[at], run: told.trials.run[at],
      project: told.trials.run_project[at], value: values[at] ?? null,
    }));
    this.byNumber = new Map(this.trials.map((trial) => [trial.number, trial]));
  }

  get runIds() {
    return this.trials.filter((trial) => trial.project).map((trial) => trial.run);
  }

  /** @param {Trial} trial */
  hrefOf(trial) {
    return trial.project ? address(["p", trial.project, "runs", trial.run]) : null;
  }

  /** What the pointer shows of a trial. @param {Trial} trial @returns {[string, string][]} */
  describe(trial) {
    const rows = [...this.metrics, ...this.parameters.slice(0, SHOWN_PARAMETERS)].map((axis) => [axis.name, showValue(axis, trial.at)]);
    return /** @type {[string, string][]} */ (rows.filter(([, value]) => value !== ""));
  }
}

/** @param {ParallelAxis} axis @param {number} at */
function showValue(axis, at) {
  const value = axis.values[at];
  if (value === null || value === undefined) return "";
  const text = axis.kind === "choice" ? (axis.choices ?? [])[value] : formatNumber(value);
  return text.length > TEXT_MAX_CHARS ? `${text.slice(0, TEXT_MAX_CHARS)}\u2026` : text;
}
