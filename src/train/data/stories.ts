/**
 * Small stories in English and Chinese from a grammar: a hero with a wish, a trouble, a helper or an idea, and an end
 * that follows from them. Sentences are templates over one story's facts, so names, animals and things stay the same
 * throughout. A pure function of (seed, index). Main functions: `story`, `chineseStory`.
 */
import { Prng, randomBits } from "../../base/prng.ts";

type Pick = <T>(list: readonly T[]) => T;

const animals = ["cat", "dog", "fox", "bear", "rabbit", "mouse", "owl", "frog", "hen", "duck", "pig", "lamb", "bee", "turtle", "squirrel", "hedgehog"]; // prettier-ignore
const names = [
  "Pip",
  "Momo",
  "Lulu",
  "Max",
  "Tilly",
  "Otto",
  "Nina",
  "Bo",
  "Daisy",
  "Finn",
  "Ruby",
  "Toby",
  "Mia",
  "Leo",
];
const places = [
  "forest",
  "garden",
  "village",
  "meadow",
  "barn",
  "old house",
  "park",
  "field",
  "kitchen",
  "school yard",
];
const weathers = ["sunny", "rainy", "windy", "snowy", "cold", "quiet", "warm"];
const colors = ["red", "blue", "green", "yellow", "golden", "white", "tiny", "big", "shiny"];
const things = ["ball", "key", "hat", "blanket", "leaf", "cake", "kite", "drum", "boat", "lantern", "book", "bell", "apple", "shell", "umbrella"]; // prettier-ignore
const moods = ["happy", "proud", "glad", "calm", "brave", "very pleased"];

interface Facts {
  readonly pick: Pick;
  readonly hero: string;
  readonly kind: string;
  readonly friend: string;
  readonly friendKind: string;
  readonly place: string;
  readonly weather: string;
  readonly thing: string;
  readonly mood: string;
}

const article = (word: string): string => (/^[aeiou]/.test(word) ? `an ${word}` : `a ${word}`);

const openings: readonly ((f: Facts) => string)[] = [
  (f) => `Once upon a time there was a little ${f.kind} called ${f.hero}.`,
  (f) => `${f.hero} was a little ${f.kind} who lived near the ${f.place}.`,
  (f) => `On a ${f.weather} day, ${article(f.kind)} named ${f.hero} went to the ${f.place}.`,
  (f) => `In the ${f.place} lived ${article(f.kind)}. Everyone called the ${f.kind} ${f.hero}.`,
];

/** Each plot is a whole: what happens, what is done about it, how it ends. */
const plots: readonly ((f: Facts) => string)[] = [
  (f) =>
    `One ${f.weather} morning ${f.hero} found ${article(f.thing)} in the ${f.place}. ${f.pick([
      `"Whose is this?" asked ${f.hero}. "It is mine!" said ${f.friend} the ${f.friendKind}.`,
      `Then ${f.friend} the ${f.friendKind} came by and began to cry, because it was lost.`,
      `${f.hero} wanted to keep it, but ${f.friend} the ${f.friendKind} was looking for it.`,
    ])} ${f.pick([
      `So ${f.hero} gave it back, and the two became friends.`,
      `${f.hero} gave the ${f.thing} to ${f.friend}, and they played together until the evening.`,
    ])} ${f.hero} felt ${f.mood}.`,
  (f) =>
    `${f.hero} wanted ${article(f.thing)} more than anything. ${f.pick([
      `But there was none in the ${f.place}.`,
      `But it was too high to reach.`,
    ])} ${f.friend} the ${f.friendKind} said, "Let us look for one together." They looked all day. At last ${f.friend} found the ${f.thing} behind a tree. "Thank you," said ${f.hero}. From that day on they shared it.`, // prettier-ignore
  (f) =>
    `It was very ${f.weather}, and ${f.hero} was lost. "Which way is home?" asked ${f.hero}. ${f.friend} the ${f.friendKind} heard it and came with ${article(f.thing)}. ${f.pick(
      [`"Follow me," said ${f.friend}.`, `"Do not be afraid," said ${f.friend}. "I know the way."`],
    )} They walked through the ${f.place} side by side. When they came home, ${f.hero} was ${f.mood}.`,
  (f) =>
    `${f.hero} had ${article(f.thing)}, and ${f.friend} the ${f.friendKind} had none. ${f.friend} was sad. ${f.pick([
      `${f.hero} thought for a while.`,
      `${f.hero} saw it and sat down beside ${f.friend}.`,
    ])} "You can play with my ${f.thing} today," said ${f.hero}, "and tomorrow we will make another one." The next day they made a new ${f.thing}, and both were ${f.mood}.`, // prettier-ignore
  (f) =>
    `One day the ${f.thing} broke. ${f.hero} began to cry. "We can mend it," said ${f.friend} the ${f.friendKind}. First they found all the pieces. Then they put them together. In the end the ${f.thing} was as good as new. ${f.hero} laughed and said, "Two can do more than one."`, // prettier-ignore
];

export function story(seed: number, index: number): string {
  const random = new Prng(randomBits(seed, index));
  const pick: Pick = (list) => list[random.int(list.length)]!;
  const [kind, friendKind] = random.shuffle([...animals]) as [string, string];
  const [hero, friend] = random.shuffle([...names]) as [string, string];
  const thing = `${pick(colors)} ${pick(things)}`;
  const facts = { pick, hero, kind, friend, friendKind, thing, place: pick(places), weather: pick(weathers), mood: pick(moods) }; // prettier-ignore
  return `${pick(openings)(facts)} ${pick(plots)(facts)}`;
}

const zh = {
  animals: ["小猫", "小狗", "狐狸", "小熊", "兔子", "老鼠", "猫头鹰", "青蛙", "鸭子", "小猪", "乌龟", "松鼠"],
  names: ["乐乐", "毛毛", "豆豆", "天天", "小雨", "明明", "花花", "阿宝"],
  places: ["森林里", "花园里", "村子里", "草地上", "河边", "山上", "学校里"],
  things: ["红色的球", "金色的钥匙", "小帽子", "大蛋糕", "风筝", "蓝色的书", "小船", "灯笼", "黄色的苹果"],
  moods: ["很高兴", "非常开心", "笑了起来", "心里暖暖的"],
};

export function chineseStory(seed: number, index: number): string {
  const random = new Prng(randomBits(seed, index));
  const pick: Pick = (list) => list[random.int(list.length)]!;
  const [kind, friendKind] = random.shuffle([...zh.animals]) as [string, string];
  const [hero, friend] = random.shuffle([...zh.names]) as [string, string];
  const [place, thing, mood] = [pick(zh.places), pick(zh.things), pick(zh.moods)];
  const opening = pick([`从前有一只${kind}，名字叫${hero}。`, `${hero}是一只${kind}，住在${place}。`, `有一天，${kind}${hero}来到${place}。`]); // prettier-ignore
  const plot = pick([
    `${hero}在${place}看见一个${thing}。“这是谁的？”${hero}问。${friendKind}${friend}说：“是我的！”${hero}把${thing}还给了${friend}，他们成了好朋友。`, // prettier-ignore
    `${hero}很想要一个${thing}，可是找不到。${friendKind}${friend}说：“我们一起找吧。”他们找了一天，终于找到了。`,
    `${hero}迷路了，哭了起来。${friendKind}${friend}走过来说：“别怕，我带你回家。”他们一起走回了家。`,
    `${hero}有一个${thing}，${friendKind}${friend}没有。${hero}说：“我们一起玩吧。”`,
  ]);
  return `${opening}${plot}${hero}${mood}。`;
}
