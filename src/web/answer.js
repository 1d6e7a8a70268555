// One answer of the conversation as it grows: thinking as a list of steps, text, and pictures and clips that form tile
// by tile in the place where they will stand. Main class: Answer.

export const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};

const SIDE = 8;
/** Row-major place of the i-th tile: pairs of rows, quads from left to right, as the model writes them. */
const places = Array.from({ length: SIDE * SIDE }, (_, i) => {
  const quad = i >> 2;
  const [down, across] = [Math.floor(quad / (SIDE / 2)), quad % (SIDE / 2)];
  return (2 * down + ((i >> 1) & 1)) * SIDE + 2 * across + (i & 1);
});

/** A square that fills with tiles and then becomes the picture or clip; its size never changes. */
class Frame {
  constructor(t, kind, prompt) {
    this.t = t;
    this.label = kind === "video" ? t.clip(prompt) : t.picture(prompt);
    this.tiles = places.map(() => make("i"));
    this.square = make("div", { className: "square" }, make("div", { className: "mosaic", ariaHidden: "true" }, ...this.tiles)); // prettier-ignore
    this.caption = make("figcaption", { textContent: kind === "video" ? t.animating : t.drawing });
    this.node = make("figure", { className: "forming" }, this.square, this.caption);
  }
  progress({ done, total }) {
    const isClip = total > SIDE * SIDE;
    const filled = Math.floor((done / total) * places.length);
    for (let i = 0; i < filled; i++) this.tiles[places[i]].className = "on";
    this.caption.textContent = `${isClip ? this.t.animating : this.t.drawing} ${Math.round((100 * done) / total)} %`;
  }
  finish(kind, src) {
    const media = kind === "picture" ? make("img", { src, alt: this.label }) : this.video(src);
    media.classList.add("media");
    this.square.append(media);
    this.node.classList.remove("forming");
    const name = `tessera.${kind === "picture" ? "png" : "mp4"}`;
    this.caption.replaceChildren(make("a", { href: src, download: name, textContent: this.t.download }));
  }
  video(src) {
    const props = { src, autoplay: true, loop: true, muted: true, playsInline: true, tabIndex: 0, title: this.t.play };
    const video = make("video", { ...props, ariaLabel: this.label });
    const toggle = () => (video.paused ? video.play() : video.pause());
    video.addEventListener("click", toggle);
    video.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      toggle();
    });
    return video;
  }
}

export class Answer {
  constructor(t, modality, prompt) {
    Object.assign(this, { t, modality, prompt, text: "", reasoning: "", hasMedia: false });
    this.bubble = make("div", { className: "bubble" });
    this.wait = make("div", { className: "wait", role: "status", ariaLabel: t.waiting }, make("i"), make("i"), make("i")); // prettier-ignore
    this.turn = make("div", { className: "turn assistant", ariaBusy: "true" }, this.wait);
    if (modality === "image" || modality === "video") this.open(modality);
  }
  open(kind) {
    this.wait.remove();
    this.frame = new Frame(this.t, kind, this.prompt);
    this.turn.append(this.frame.node);
  }
  think(text) {
    this.reasoning += text;
    if (!this.details) {
      this.steps = make("ol");
      this.summary = make("summary", { textContent: this.t.thoughts });
      this.details = make("details", { open: true, className: "thinking" }, this.summary, this.steps);
      this.turn.prepend(this.details);
    }
    const lines = this.reasoning.split("\n").filter((line) => line.trim() !== "");
    while (this.steps.children.length < lines.length) this.steps.append(make("li"));
    lines.forEach((line, i) => {
      if (this.steps.children[i].textContent !== line) this.steps.children[i].textContent = line;
    });
  }
  endThinking() {
    if (!this.details?.classList.contains("thinking")) return;
    this.details.classList.remove("thinking");
    this.summary.textContent = this.t.steps(this.steps.children.length);
  }
  progress(progress) {
    this.endThinking();
    if (!this.frame) this.open(progress.total > SIDE * SIDE ? "video" : "image");
    this.frame.progress(progress);
  }
  write(text) {
    this.endThinking();
    this.wait.remove();
    const media = /^!\[(picture|clip)\]\((data:[^)]+)\)$/.exec(text);
    if (!media) {
      this.text += text;
      this.bubble.textContent += text;
      if (!this.bubble.isConnected) this.turn.append(this.bubble);
      return;
    }
    const [, kind, src] = media;
    if (!this.frame) this.open(kind === "clip" ? "video" : "image");
    this.frame.finish(kind, src);
    this.frame = undefined;
    this.hasMedia = true;
    // Text that follows stands below the picture.
    this.bubble = make("div", { className: "bubble" });
  }
  end(note) {
    this.endThinking();
    this.wait.remove();
    this.frame?.node.remove();
    this.turn.ariaBusy = "false";
    if (note) this.turn.append(make("p", { className: "note", textContent: note }));
  }
}
