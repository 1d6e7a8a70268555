/** The same for convolutions and transposed products by LoadData of feature maps, numbers of four bits, and flags between blocks. */
import { checkCases } from "./sim-ascend-check.ts";
import { cubeCases } from "./sim-ascend-cube-cases.ts";

checkCases(cubeCases);
