/** The small grammar of the tiny network, for tests: text ids 0..39, specials 40..49, codes from 50. */
export { END, grammar, NULL, plan } from "../../src/engine/tiny-network.ts";
