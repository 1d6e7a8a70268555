/**
 * Choosing for a layer instead of letting it choose: what `tessera verify` needs to compare two networks whose roundings
 * differ, because one entry or one expert more or less would be all that the comparison shows.
 */
import type { Tensor } from "../tensor/tensor.ts";

/** Called where a layer chooses by score. Not where it takes everything, nor where a table decides. */
export interface Choose {
  /** scores f32 [B,T,E], -inf where invisible -> u8 mask [B,T,E]. Without a state only. */
  entries(scores: Tensor): Tensor;
  /** The router's logits f32 [R,E] -> i32 [R,k]. */
  experts(logits: Tensor): Tensor;
}
