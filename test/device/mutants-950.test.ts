/** A share of the mutation matrix of 950; that of 910B and what the mutators find: mutants-ascend.test.ts. */
import { testSample } from "./sampled-matrix.ts";

testSample("ascend-950", 1);
