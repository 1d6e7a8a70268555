// The chat page: sends the conversation to /v1/chat/completions and shows the stream. Words are in texts.js, an answer
// is answer.js.
import { Answer, make } from "./answer.js";
import { texts } from "./texts.js";

const $ = (id) => document.getElementById(id);
const prompt = $("prompt");
const log = $("log");

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let model;
let messages = [];
let attached;
let abort;
let lastPrompt = "";
let isAtEnd = true;

const words = () => texts[language];

function applyLanguage() {
  const t = words();
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t[node.dataset.text];
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", t[node.dataset.label]);
    if (node.tagName === "BUTTON") node.title = t[node.dataset.label];
  }
  prompt.placeholder = t.placeholder;
  $("language").textContent = t.other;
  $("language").lang = language === "zh" ? "en" : "zh-CN";
  $("ideas").replaceChildren(
    ...t.ideas.map(
      ([text, modality, thinking, what]) =>
      make("button", { type: "button", onclick: () => ask(text, { modality, thinking }) }, make("small", { textContent: what }), text), // prettier-ignore
    ),
  );
  showBusy();
}

function showBusy() {
  document.body.classList.toggle("busy", abort !== undefined);
  const label = words()[abort ? "stop" : "send"];
  $("send").setAttribute("aria-label", label);
  $("send").title = label;
  $("send").disabled = !abort && prompt.value.trim() === "" && !attached;
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => ($("toast").hidden = true), 8000);
}

// The log follows the answer while its end is in view; who scrolls up to read is left alone.
const toEnd = () => (log.scrollTop = log.scrollHeight);
log.addEventListener("scroll", () => (isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60));
new ResizeObserver(() => isAtEnd && toEnd()).observe($("turns"));
new ResizeObserver(() => isAtEnd && toEnd()).observe(log);

function addTurn(turn) {
  $("welcome").hidden = true;
  $("turns").append(turn);
  isAtEnd = true;
  toEnd();
}

async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(words().lost);
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: ?/, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

/** The model's id and facts; a server that is still starting answers when it is ready. */
async function describeModel() {
  if (!model) {
    const [{ id }] = (await (await fetch("/v1/models")).json()).data;
    model = (await (await fetch(`/v1/models/${id}`)).json()).info;
  }
  $("model").textContent = model.id;
  return model;
}

/** Streams one answer to `user`, after what was said `earlier` if the model has learned to talk, into `answer`; returns a note for its end, if any. */
async function stream(user, earlier, options, answer) {
  const { signal } = abort;
  const response = await describeModel()
    .then(({ id, talks }) => {
      const headers = { "content-type": "application/json" };
      const messages = [...(talks ? earlier : []), user];
      return fetch("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify({ model: id, stream: true, messages, ...options }), signal }); // prettier-ignore
    })
    .catch((error) => {
      throw error.name === "AbortError" ? error : new Error(words().offline);
    });
  if (!response.ok) throw new Error((await response.json()).error.message);
  let finish;
  for await (const chunk of readEvents(response)) {
    if (chunk.error) throw new Error(chunk.error.message);
    const choice = chunk.choices[0] ?? {};
    const delta = choice.delta ?? {};
    if (delta.reasoning_content) answer.think(delta.reasoning_content);
    if (delta.progress) answer.progress(delta.progress);
    if (delta.content) answer.write(delta.content);
    finish = choice.finish_reason ?? finish;
  }
  if (finish === "length") return words().cut;
  return answer.text.trim() === "" && !answer.hasMedia ? words().empty : undefined;
}

async function ask(text, options = {}) {
  if (abort) return;
  const { modality = document.querySelector("input[name=modality]:checked").value, thinking = $("thinking").checked } = options; // prettier-ignore
  const image = attached;
  attach(undefined);
  lastPrompt = text || lastPrompt;
  const shown = [];
  if (image) shown.push(make("img", { src: image, alt: words().yourPicture }));
  if (text) shown.push(make("div", { className: "bubble", textContent: text }));
  addTurn(make("div", { className: "turn user" }, ...shown));
  const asked = text || (modality === "video" ? "" : words().describe);
  const content = image
    ? [
        { type: "image_url", image_url: { url: image } },
        { type: "text", text: asked },
      ]
    : asked;
  const user = { role: "user", content };
  // Contexts are short: pictures are described alone, and little is sent again.
  const earlier = image || modality === "image" || modality === "video" ? [] : messages.slice(-4);
  const answer = new Answer(words(), modality, text);
  addTurn(answer.turn);
  abort = new AbortController();
  showBusy();
  let note;
  try {
    note = await stream(user, earlier, { modality, ...(thinking && { thinking: { type: "enabled" } }) }, answer);
    if (!answer.hasMedia && answer.text.trim() !== "") messages.push({ role: "user", content: asked }, { role: "assistant", content: answer.text }); // prettier-ignore
  } catch (error) {
    if (error.name === "AbortError") note = words().stopped;
    else {
      note = error.message;
      toast(error.message);
      // Nothing typed is lost.
      if (prompt.value === "") setPrompt(text);
      if (image && !attached) attach(image);
    }
  } finally {
    abort = undefined;
    answer.end(note);
    showBusy();
  }
}

function setPrompt(text) {
  prompt.value = text;
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
  showBusy();
}

function attach(url) {
  attached = url;
  $("attached").hidden = !url;
  if (url) $("attached").querySelector("img").src = url;
  showBusy();
}

/** Any picture the browser reads, made small before it is sent. */
async function attachFile(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, 512 / Math.max(bitmap.width, bitmap.height));
    const canvas = make("canvas", { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) }); // prettier-ignore
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    attach(canvas.toDataURL("image/png"));
    prompt.focus();
  } catch {
    toast(words().notPicture);
  }
}

const pictureIn = (items) => [...(items ?? [])].find((file) => file.type.startsWith("image/"));

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (abort) return abort.abort();
  const text = prompt.value.trim();
  if (text === "" && !attached) return;
  setPrompt("");
  void ask(text);
});
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!abort) $("form").requestSubmit();
  } else if (event.key === "ArrowUp" && prompt.value === "" && lastPrompt !== "") {
    event.preventDefault();
    setPrompt(lastPrompt);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") abort?.abort();
});
prompt.addEventListener("input", () => setPrompt(prompt.value));
prompt.addEventListener("paste", (event) => {
  const file = pictureIn(event.clipboardData?.files);
  if (!file) return;
  event.preventDefault();
  void attachFile(file);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file) void attachFile(file);
});
$("attach").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) void attachFile(target.files[0]);
  target.value = "";
});
$("detach").addEventListener("click", () => attach(undefined));
$("toast").addEventListener("click", () => ($("toast").hidden = true));
$("clear").addEventListener("click", () => {
  abort?.abort();
  messages = [];
  $("turns").replaceChildren();
  $("welcome").hidden = false;
  prompt.focus();
});
$("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
  applyLanguage();
});

applyLanguage();
// On a phone the keyboard would cover the examples.
if (matchMedia("(pointer: fine)").matches) prompt.focus();
try {
  await describeModel();
} catch {
  toast(words().offline);
}
