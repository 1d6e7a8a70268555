/**
 * What a language run trains: the network and, beside it, a factored part of its visual head. A code's output row is
 *   head[startId + code] + sum over quantiser levels of level[level of the code]
 * so codes that differ in one level share what is learned, long before each has been seen often enough by itself; the
 * input side does the same (model/visual-embedding.ts). The sum is a plain row, so a finished run folds it into the
 * head and the shipped network has no trace of it. Main functions: `visualHead`, `fold`, `unfold`.
 */
import { V4, type V4Options } from "../model/v4.ts";
import type { V4Config } from "../model/config.ts";
import { levelHot } from "../model/visual-embedding.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { loadOfficial } from "../model/weights.ts";
import { Module } from "../nn/module.ts";
import * as t from "../tensor/ops.ts";
import { Parameter, randn, Tensor } from "../tensor/tensor.ts";

const LEVEL_STD = 0.02;

export class Trainee extends Module {
  readonly network: V4;
  /** [sum of levels, D] */
  readonly head_levels: Parameter;
  /** [codes, sum of levels], ones where a code has a level. */
  private readonly hot: Tensor;
  private readonly startId: number;

  constructor(device: Device, config: V4Config, options: V4Options = {}) {
    super();
    if (!config.visual) throw new ShapeError("trainee: expected a config with visual ids");
    const { levels, start_id: startId } = config.visual;
    this.network = new V4(device, config, options);
    const width = levels.reduce((sum, n) => sum + n, 0);
    this.head_levels = new Parameter(
      randn(device, [width, config.hidden_size], { seed: (options.seed ?? 0) * 100_000 + 99_999, std: LEVEL_STD }),
    );
    const numCodes = levels.reduce((p, n) => p * n, 1);
    this.hot = Tensor.from(device, levelHot(numCodes, levels), [numCodes, width]);
    this.startId = startId;
  }

  /** Rows of the head for the codes, [codes, D]. */
  visualHead(): Tensor {
    const { weight } = this.network.head;
    const own = t.slice(weight, 0, this.startId, this.startId + this.hot.shape[0]!);
    return t.add(own, t.matmul(this.hot, this.head_levels));
  }

  /**
   * Takes a finished network's weights, whose head holds all there is; the factored part starts at nothing, and a drafter
   * that spoke for the network as it was is left out.
   */
  unfold(path: string): void {
    loadOfficial(path, this.network, { ignore: (name) => name.startsWith("mtp.") });
    this.head_levels.copyFrom(new Float32Array(this.head_levels.size));
  }

  /** Writes the sums into the network's head; returns what puts the head back as it was. */
  fold(): () => void {
    const { weight } = this.network.head;
    const before = weight.toArray() as Float32Array;
    const rows = t.noGrad(() => this.visualHead().toArray()) as Float32Array;
    const after = before.slice();
    after.set(rows, this.startId * weight.shape[1]!);
    weight.copyFrom(after);
    return () => weight.copyFrom(before);
  }
}
