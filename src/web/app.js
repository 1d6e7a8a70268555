// The chat page: reads the stream of /v1/chat/completions and shows text, thinking as steps, pictures and clips.
const texts = {
  en: {
    title: "Write, draw, animate",
    subtitle: "A small open model that runs on this machine. It is young: expect simple words and simple pictures.",
    placeholder: "Ask, or describe a picture or a clip",
    auto: "Auto",
    text: "Text",
    image: "Picture",
    video: "Clip",
    think: "Think",
    clear: "New chat",
    send: "Send",
    attach: "Attach a picture",
    detach: "Remove the picture",
    thoughts: "Thinking",
    drawing: "drawing",
    animating: "animating",
    stopped: "stopped",
    other: "中文",
    ideas: [
      ["What is 347 + 85?", "text", true, "thinks in steps"],
      ["a red circle left of a blue square", "image", false, "draws"],
      ["a green square moves to the right", "video", false, "animates"],
      ["Tell me a story.", "text", false, "writes"],
    ],
  },
  zh: {
    title: "写字，画画，做动画",
    subtitle: "在这台机器上运行的小型开放模型。它还很年轻，只会简单的话和简单的画。",
    placeholder: "提问，或描述一张图、一段动画",
    auto: "自动",
    text: "文字",
    image: "图片",
    video: "动画",
    think: "思考",
    clear: "新对话",
    send: "发送",
    attach: "添加图片",
    detach: "移除图片",
    thoughts: "思考过程",
    drawing: "正在画",
    animating: "正在制作动画",
    stopped: "已停止",
    other: "English",
    ideas: [
      ["347加85等于多少？", "text", true, "分步思考"],
      ["一个红色的圆形", "image", false, "画图"],
      ["一个绿色的正方形向右移动", "video", false, "做动画"],
      ["你会做什么？", "text", false, "聊天"],
    ],
  },
};

const $ = (id) => document.getElementById(id);
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let model = "";
let messages = [];
let attached;
let abort;

function applyLanguage() {
  const t = texts[language];
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t[node.dataset.text];
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t[node.dataset.label]);
  $("prompt").placeholder = t.placeholder;
  $("language").textContent = t.other;
  $("ideas").replaceChildren(
    ...t.ideas.map(([prompt, modality, thinking, what]) =>
      make(
        "button",
        { type: "button", onclick: () => ask(prompt, modality, thinking) },
        prompt,
        make("small", { textContent: what }),
      ),
    ),
  );
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => ($("toast").hidden = true), 7000);
}

const chosen = () => document.querySelector("input[name=modality]:checked").value;

function addTurn(role, ...children) {
  $("welcome").hidden = true;
  const turn = make("div", { className: `turn ${role}` }, ...children);
  $("log").append(turn);
  turn.scrollIntoView({ block: "end" });
  return turn;
}

/** Shows an answer as it grows. Markdown pictures in the text become elements. */
class Answer {
  constructor(modality) {
    this.turn = addTurn("assistant");
    this.modality = modality;
    this.bubble = make("div", { className: "bubble waiting" });
    this.turn.append(this.bubble);
    this.text = "";
    this.reasoning = "";
  }
  think(text) {
    this.reasoning += text;
    if (!this.details) {
      this.steps = make("ol");
      this.details = make(
        "details",
        { open: true },
        make("summary", { textContent: texts[language].thoughts }),
        this.steps,
      );
      this.turn.prepend(this.details);
    }
    const lines = this.reasoning.split("\n").filter((line) => line.trim() !== "");
    this.steps.replaceChildren(...lines.map((line) => make("li", { textContent: line })));
  }
  progress({ done, total }) {
    if (!this.frame) {
      const t = texts[language];
      this.meter = make("progress", { max: total });
      this.frame = make(
        "div",
        { className: "frame" },
        make("div", { textContent: this.modality === "video" || total > 64 ? t.animating : t.drawing }),
        this.meter,
      );
      this.bubble.classList.remove("waiting");
      this.turn.append(this.frame);
      this.frame.scrollIntoView({ block: "end" });
    }
    this.meter.value = done;
  }
  write(text) {
    this.bubble.classList.remove("waiting");
    const media = /^!\[(picture|clip)\]\((data:[^)]+)\)$/.exec(text);
    this.text += text;
    if (!media) {
      this.bubble.textContent += text;
    } else {
      this.frame?.remove();
      this.frame = undefined;
      const [, kind, src] = media;
      const node =
        kind === "picture"
          ? make("img", { className: "media", src, alt: "" })
          : make("video", {
              className: "media",
              src,
              autoplay: true,
              loop: true,
              muted: true,
              controls: true,
              playsInline: true,
            });
      this.turn.append(node);
    }
    this.turn.scrollIntoView({ block: "end" });
  }
  end(note) {
    this.bubble.classList.remove("waiting");
    this.frame?.remove();
    if (this.details && this.text !== "") this.details.open = false;
    if (note) this.turn.append(make("small", { className: "muted", textContent: note }));
    if (this.bubble.textContent === "") this.bubble.remove();
  }
}

async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: ?/, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

async function ask(prompt, modality = chosen(), thinking = $("thinking").checked) {
  const image = attached;
  attach(undefined);
  const bubble = prompt ? [make("div", { className: "bubble", textContent: prompt })] : [];
  addTurn("user", ...(image ? [make("img", { src: image, alt: "" })] : []), ...bubble);
  const content = image
    ? [
        { type: "image_url", image_url: { url: image } },
        { type: "text", text: prompt },
      ]
    : prompt;
  // The model is small and its context short: what was drawn before is not sent again.
  const history = messages.slice(-4);
  const user = { role: "user", content };
  const answer = new Answer(modality);
  abort = new AbortController();
  document.body.classList.add("busy");
  let note;
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model,
        stream: true,
        modality,
        messages: modality === "image" || modality === "video" ? [user] : [...history, user],
        thinking: { type: thinking ? "enabled" : "disabled" },
      }),
      signal: abort.signal,
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const chunk of readEvents(response)) {
      if (chunk.error) throw new Error(chunk.error.message);
      const delta = chunk.choices[0]?.delta ?? {};
      if (delta.reasoning_content) answer.think(delta.reasoning_content);
      if (delta.progress) answer.progress(delta.progress);
      if (delta.content) answer.write(delta.content);
    }
    if (!answer.text.includes("](data:"))
      messages.push({ role: "user", content: prompt || "?" }, { role: "assistant", content: answer.text });
  } catch (error) {
    if (error.name === "AbortError") note = texts[language].stopped;
    else toast(error.message);
  } finally {
    answer.end(note);
    document.body.classList.remove("busy");
    abort = undefined;
  }
}

function attach(url) {
  attached = url;
  $("attached").hidden = !url;
  if (url) $("attached").querySelector("img").src = url;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (abort) return abort.abort();
  const prompt = $("prompt").value.trim();
  if (prompt === "" && !attached) return;
  $("prompt").value = "";
  $("prompt").style.height = "";
  void ask(prompt);
});
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!abort) $("form").requestSubmit();
  }
});
$("prompt").addEventListener("input", ({ target }) => {
  target.style.height = "auto";
  target.style.height = `${target.scrollHeight}px`;
});
$("file").addEventListener("change", ({ target }) => {
  const reader = new FileReader();
  reader.onload = () => attach(reader.result);
  if (target.files[0]) reader.readAsDataURL(target.files[0]);
  target.value = "";
});
$("detach").addEventListener("click", () => attach(undefined));
$("clear").addEventListener("click", () => {
  abort?.abort();
  messages = [];
  for (const turn of document.querySelectorAll(".turn")) turn.remove();
  $("welcome").hidden = false;
});
$("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
  applyLanguage();
});

applyLanguage();
try {
  model = (await (await fetch("/v1/models")).json()).data[0].id;
  $("model").textContent = model;
} catch {
  toast("The server does not answer.");
}
