/** Counters in Prometheus text format. Main functions: `add`, `render`. */
const help = {
  tessera_requests_total: "Requests answered",
  tessera_request_errors_total: "Requests answered with an error",
  tessera_prompt_tokens_total: "Tokens read",
  tessera_completion_tokens_total: "Tokens written",
  tessera_images_total: "Pictures written",
  tessera_videos_total: "Clips written",
  tessera_generation_seconds_total: "Time spent generating",
} as const;
export type MetricName = keyof typeof help;

export class Metrics {
  private readonly values = new Map<MetricName, number>();
  add(name: MetricName, amount = 1): void {
    this.values.set(name, (this.values.get(name) ?? 0) + amount);
  }
  render(queueLength: number): string {
    const counters = (Object.keys(help) as MetricName[]).map(
      (name) => `# HELP ${name} ${help[name]}\n# TYPE ${name} counter\n${name} ${this.values.get(name) ?? 0}\n`,
    );
    const gauge = "tessera_queue_length";
    return `${counters.join("")}# HELP ${gauge} Generations running or waiting\n# TYPE ${gauge} gauge\n${gauge} ${queueLength}\n`;
  }
}
