/**
 * Small questions with short answers, in English and Chinese: what colour things have, opposites, what comes next, which
 * is larger, how many, what an animal says. Tables and rules, so every answer is right.
 * A pure function of (seed, index). Main function: `questionExample`.
 */
import { Prng, randomBits } from "../../base/prng.ts";
import type { ChatExample } from "./arithmetic.ts";

const colorOf: readonly (readonly [en: string, zh: string, color: string, zhColor: string])[] = [
  ["the sky", "天空", "blue", "蓝色"],
  ["grass", "草", "green", "绿色"],
  ["snow", "雪", "white", "白色"],
  ["a banana", "香蕉", "yellow", "黄色"],
  ["a tomato", "西红柿", "red", "红色"],
  ["a carrot", "胡萝卜", "orange", "橙色"],
  ["coal", "煤", "black", "黑色"],
  ["a frog", "青蛙", "green", "绿色"],
  ["the sun", "太阳", "yellow", "黄色"],
  ["a strawberry", "草莓", "red", "红色"],
  ["milk", "牛奶", "white", "白色"],
  ["a lemon", "柠檬", "yellow", "黄色"],
];
const opposites: readonly (readonly [string, string])[] = [
  ["big", "small"], ["hot", "cold"], ["up", "down"], ["day", "night"], ["open", "closed"], ["fast", "slow"],
  ["happy", "sad"], ["long", "short"], ["old", "new"], ["wet", "dry"], ["full", "empty"], ["light", "dark"],
  ["near", "far"], ["early", "late"], ["left", "right"], ["hard", "soft"],
]; // prettier-ignore
const zhOpposites: readonly (readonly [string, string])[] = [
  ["大", "小"], ["高", "低"], ["快", "慢"], ["冷", "热"], ["长", "短"], ["上", "下"], ["左", "右"], ["多", "少"], ["新", "旧"], ["黑", "白"],
]; // prettier-ignore
const sounds: readonly (readonly [string, string])[] = [
  ["cat", "meow"], ["dog", "woof"], ["cow", "moo"], ["duck", "quack"], ["sheep", "baa"], ["pig", "oink"], ["owl", "hoot"], ["bee", "buzz"],
]; // prettier-ignore
const days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]; // prettier-ignore

type Pick = <T>(list: readonly T[]) => T;

const makers: readonly ((random: Prng, pick: Pick) => ChatExample)[] = [
  (_r, pick) => {
    const [en, , color] = pick(colorOf);
    return { prompt: pick([`What color is ${en}?`, `Which color does ${en} have?`]), answer: `${en[0]!.toUpperCase()}${en.slice(1)} is ${color}.` }; // prettier-ignore
  },
  (_r, pick) => {
    const [, name, , color] = pick(colorOf);
    return { prompt: pick([`${name}是什么颜色？`, `${name}是什么颜色的？`]), answer: `${name}是${color}的。` };
  },
  (random, pick) => {
    const pair = pick(opposites);
    const at = random.int(2);
    return { prompt: `What is the opposite of ${pair[at]}?`, answer: `The opposite of ${pair[at]} is ${pair[1 - at]}.` }; // prettier-ignore
  },
  (random, pick) => {
    const pair = pick(zhOpposites);
    const at = random.int(2);
    return { prompt: `“${pair[at]}”的反义词是什么？`, answer: `“${pair[at]}”的反义词是“${pair[1 - at]}”。` };
  },
  (_r, pick) => {
    const [animal, sound] = pick(sounds);
    return { prompt: pick([`What does a ${animal} say?`, `What sound does a ${animal} make?`]), answer: `A ${animal} says "${sound}".` }; // prettier-ignore
  },
  (random, pick) => {
    const list = pick([days, months]);
    const i = random.int(list.length);
    const next = list[(i + 1) % list.length]!;
    return { prompt: `What comes after ${list[i]}?`, answer: `After ${list[i]} comes ${next}.` };
  },
  (random, pick) => {
    const [a, b] = [1 + random.int(99), 1 + random.int(99)];
    if (a === b) return { prompt: `Which is larger, ${a} or ${b}?`, answer: "They are equal." };
    const isLarger = random.int(2) === 0;
    const right = isLarger ? Math.max(a, b) : Math.min(a, b);
    const ask = isLarger ? pick(["larger", "bigger"]) : "smaller";
    return { prompt: `Which is ${ask}, ${a} or ${b}?`, answer: `${right} is ${isLarger ? "larger" : "smaller"}.` };
  },
  (random, pick) => {
    const start = random.int(90);
    const step = pick([1, 1, 2, 5, 10]);
    const list = [0, 1, 2].map((i) => start + i * step);
    return { prompt: `${list.join(", ")}: what comes next?`, reasoning: `each step adds ${step}\n${list[2]}+${step}=${start + 3 * step}`, answer: `${start + 3 * step}` }; // prettier-ignore
  },
  (random) => {
    const n = 2 + random.int(8);
    return { prompt: `Count to ${n}.`, answer: Array.from({ length: n }, (_, i) => i + 1).join(", ") };
  },
];

export function questionExample(seed: number, index: number): ChatExample {
  const random = new Prng(randomBits(seed ^ 0x71, index));
  const pick: Pick = (list) => list[random.int(list.length)]!;
  return pick(makers)(random, pick);
}
