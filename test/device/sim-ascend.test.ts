/**
 * The Ascend simulator on kernels that were written by hand for the public interface: it takes them, with the right
 * numbers, in every order and on any number of blocks; and it takes none of their mutations.
 */
import { simCases } from "./sim-ascend-cases.ts";
import { checkCases } from "./sim-ascend-check.ts";

checkCases(simCases);
