/**
 * Short conversations: greetings and identity, small questions, definitions, emoji names in two languages, and
 * stories on request. Pure functions of (seed, index) and of the tables given. Main function: `dialogueExample`.
 */
import { Prng, randomBits } from "../../base/prng.ts";
import type { ChatExample } from "./arithmetic.ts";
import type { Concept } from "./pictures.ts";
import { questionExample } from "./questions.ts";
import { chineseStory, story } from "./stories.ts";
import type { Definition } from "./texts.ts";

const fixed: readonly ChatExample[] = [
  { prompt: "Hello!", answer: "Hello! What would you like to talk about, or shall I draw something?" },
  { prompt: "Hi", answer: "Hi! Ask me a question, or ask for a picture or a clip." },
  { prompt: "你好", answer: "你好！想聊点什么，还是让我画一张图？" },
  {
    prompt: "Who are you?",
    answer: "I am Tessera, a small open model that reads and writes text, pictures and clips.",
  },
  {
    prompt: "What can you do?",
    answer: "I can chat a little, add numbers step by step, draw small pictures and make short clips.",
  },
  { prompt: "你是谁？", answer: "我是 Tessera，一个能读写文字、图片和短片的小模型。" },
  { prompt: "你会做什么？", answer: "我会简单聊天、一步一步算加法、画小图和做短动画。" },
  { prompt: "Thank you", answer: "You are welcome!" },
  { prompt: "谢谢", answer: "不客气！" },
  { prompt: "Goodbye", answer: "Goodbye! See you soon." },
  { prompt: "How are you?", answer: "I am well, thank you. How are you?" },
  { prompt: "What is your name?", answer: "My name is Tessera." },
  { prompt: "你叫什么名字？", answer: "我叫 Tessera。" },
  { prompt: "Good morning", answer: "Good morning! What shall we do today?" },
  { prompt: "早上好", answer: "早上好！今天想做什么？" },
  { prompt: "Can you draw?", answer: "Yes. Ask me for a picture, such as a red circle or a cat." },
  { prompt: "你会画画吗？", answer: "会。请告诉我想画什么，比如一个红色的圆形。" },
  { prompt: "Are you a person?", answer: "No, I am a computer program: a small language model." },
];

export interface DialogueTables {
  readonly definitions: readonly Definition[];
  readonly concepts: readonly Concept[];
}

export function dialogueExample(seed: number, index: number, tables: DialogueTables): ChatExample {
  const random = new Prng(randomBits(seed ^ 0x31, index));
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
  const kind = random.int(12);
  if (kind < 2) return pick(fixed);
  if (kind < 4) return questionExample(seed, index);
  if (kind < 6) {
    const { word, gloss } = pick(tables.definitions);
    const ask = pick([`What is ${word}?`, `What does "${word}" mean?`, `Define ${word}.`]);
    return { prompt: ask, answer: `${word}: ${gloss}` };
  }
  if (kind < 8) {
    const { en, zh } = pick(tables.concepts.filter((c) => c.zh !== "" && !c.isHeldOut));
    return random.int(2) === 0
      ? { prompt: pick([`How do you say "${en}" in Chinese?`, `"${en}"用中文怎么说？`]), answer: zh }
      : { prompt: pick([`What does "${zh}" mean in English?`, `"${zh}"用英语怎么说？`]), answer: en };
  }
  return random.int(4) === 0
    ? { prompt: pick(["讲个故事。", "给我讲一个故事。", "写一个小故事。"]), answer: chineseStory(seed, index) }
    : { prompt: pick(["Tell me a story.", "Tell me a short story.", "Please write a story."]), answer: story(seed, index) }; // prettier-ignore
}
