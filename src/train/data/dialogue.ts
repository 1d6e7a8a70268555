/**
 * Short conversations: greetings and identity, definitions, emoji names in two languages, and small stories on
 * request. Pure functions of (seed, index) and of the tables given. Main function: `dialogueExample`.
 */
import { Prng, randomBits } from "../../base/prng.ts";
import type { ChatExample } from "./arithmetic.ts";
import type { Definition } from "./texts.ts";
import type { Concept } from "./pictures.ts";

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
  { prompt: "Are you a person?", answer: "No, I am a computer program: a small language model." },
];

const animals = ["cat", "dog", "fox", "bear", "rabbit", "mouse", "owl", "frog", "hen", "duck"];
const names = ["Pip", "Momo", "Lulu", "Max", "Tilly", "Otto", "Nina", "Bo"];
const places = ["forest", "garden", "village", "meadow", "barn", "river bank", "old house", "park"];
const finds = ["a red ball", "a small key", "a lost hat", "a warm blanket", "a golden leaf", "a big cake", "a broken kite"]; // prettier-ignore
const feelings = ["happy", "proud", "surprised", "calm", "brave"];
const weathers = ["sunny", "rainy", "windy", "snowy", "cold"];

export function story(seed: number, index: number): string {
  const random = new Prng(randomBits(seed, index));
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
  const [hero, friend] = random.shuffle([...animals]) as [string, string];
  const [name, other] = random.shuffle([...names]) as [string, string];
  const [place, find, weather, feeling] = [pick(places), pick(finds), pick(weathers), pick(feelings)];
  const opening = pick([
    `Once upon a time there was a little ${hero} called ${name}.`,
    `${name} was a little ${hero} who lived in the ${place}.`,
    `On a ${weather} day, a ${hero} named ${name} went to the ${place}.`,
  ]);
  const middle = pick([
    `One ${weather} morning ${name} found ${find} near the ${place}.`,
    `${name} walked through the ${place} and saw ${find}.`,
  ]);
  const turn = pick([
    `"Whose is this?" asked ${name}. "It is mine!" said ${other} the ${friend}.`,
    `${other} the ${friend} came by and began to cry, because it was lost.`,
    `${name} wanted to keep it, but then ${other} the ${friend} came looking for it.`,
  ]);
  const end = pick([
    `So ${name} gave it back, and the two became friends. ${name} felt very ${feeling}.`,
    `${name} gave ${find} to ${other}, and they played together until the evening.`,
    `They shared it, and ${other} said thank you. ${name} went home ${feeling}.`,
  ]);
  return `${opening} ${middle} ${turn} ${end}`;
}

export interface DialogueTables {
  readonly definitions: readonly Definition[];
  readonly concepts: readonly Concept[];
}

export function dialogueExample(seed: number, index: number, tables: DialogueTables): ChatExample {
  const random = new Prng(randomBits(seed ^ 0x31, index));
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
  const kind = random.int(10);
  if (kind < 2) return pick(fixed);
  if (kind < 5) {
    const { word, gloss } = pick(tables.definitions);
    const ask = pick([`What is ${word}?`, `What does "${word}" mean?`, `Define ${word}.`]);
    return { prompt: ask, answer: `${word}: ${gloss}` };
  }
  if (kind < 7) {
    const { en, zh } = pick(tables.concepts.filter((c) => c.zh !== "" && !c.isHeldOut));
    return random.int(2) === 0
      ? { prompt: pick([`How do you say "${en}" in Chinese?`, `"${en}"用中文怎么说？`]), answer: zh }
      : { prompt: pick([`What does "${zh}" mean in English?`, `"${zh}"用英语怎么说？`]), answer: en };
  }
  return { prompt: pick(["Tell me a story.", "Tell me a short story.", "Please write a story.", "讲个英文故事。"]), answer: story(seed, index) }; // prettier-ignore
}
