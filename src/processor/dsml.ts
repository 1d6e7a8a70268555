/**
 * DSML, the markup of tool calls: how a call is written into a prompt, and the names both directions share.
 *   <｜DSML｜tool_calls>
 *   <｜DSML｜invoke name="f">
 *   <｜DSML｜parameter name="k" string="true|false">v</｜DSML｜parameter>
 *   </｜DSML｜invoke>
 *   </｜DSML｜tool_calls>
 * A string's text is raw, everything else is JSON; nothing is escaped. `｜DSML｜` is one token, the rest is text.
 * Main function: `writeToolCalls`; reading is tool-call-parser.ts.
 */
import { parseJsonText, toPythonJson, type JsonNode } from "./json-text.ts";

export const DSML = "｜DSML｜";
export const CALLS_OPEN = `<${DSML}tool_calls>`;
export const CALLS_CLOSE = `</${DSML}tool_calls>`;
export const INVOKE_CLOSE = `</${DSML}invoke>`;
export const PARAMETER_CLOSE = `</${DSML}parameter>`;

export interface ToolCall {
  /** The caller's; results refer to it. */
  readonly id?: string | undefined;
  readonly name: string;
  /** JSON text of an object, as it was written. */
  readonly arguments: string;
}

/** Arguments that are no JSON object are shown as one parameter of that name. */
function entriesOf(args: string): readonly (readonly [string, JsonNode])[] {
  const whole: readonly (readonly [string, JsonNode])[] = [["arguments", { kind: "string", value: args }]];
  try {
    const node = parseJsonText(args);
    return node.kind === "object" ? [...node.entries] : whole;
  } catch {
    return whole;
  }
}

function parameter([key, node]: readonly [string, JsonNode]): string {
  const isString = node.kind === "string";
  return `<${DSML}parameter name="${key}" string="${isString}">${isString ? node.value : toPythonJson(node)}${PARAMETER_CLOSE}`;
}

/** The block after a turn's content, with the blank line before it; "" for no calls. */
export function writeToolCalls(calls: readonly ToolCall[]): string {
  if (calls.length === 0) return "";
  const invokes = calls.map((call) => `<${DSML}invoke name="${call.name}">\n${entriesOf(call.arguments).map(parameter).join("\n")}\n${INVOKE_CLOSE}`); // prettier-ignore
  return `\n\n${CALLS_OPEN}\n${invokes.join("\n")}\n${CALLS_CLOSE}`;
}
