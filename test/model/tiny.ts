/** A tiny network with every layer kind, for tests that need no golden values. */
export { someIds, tinyConfig } from "../../src/engine/tiny-network.ts";
